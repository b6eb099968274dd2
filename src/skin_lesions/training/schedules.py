"""Schedules of learning rate, momentum, image size and EMA decay.

Each schedule is a function of the position in training only. A resumed training therefore
continues exactly.
"""

import math

from skin_lesions.config.train import Schedule, TrainRecipe

# Defaults of torch.optim.lr_scheduler.OneCycleLR; rates are fractions of the base rate.
_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_END = 1 / 25e4
_MOMENTUM_RANGE = (0.85, 0.95)  # at the highest rate; at the start and the end
_SIZE_STEP = 16  # pixels; networks halve the image size four or five times
_GROWING_FRACTION = 2 / 3  # of the epochs; the rest are trained at full size


def learning_rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """Return the factor of the base learning rate at a step, counted from 0.

    ``cosine`` and ``constant`` warm up linearly. ``one_cycle`` rises and falls in half cosines.

    Source:
        Smith and Topin (2018), arXiv:1708.07120, for ``one_cycle``.
    """
    warmup = schedule.warmup_fraction * steps
    if schedule.name == "one_cycle":
        low = _ONE_CYCLE_START if step < warmup else _ONE_CYCLE_END
        return low + (1 - low) * _cosine_ramp(step, warmup, steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1.0 if schedule.name == "constant" else _cosine_ramp(step, warmup, steps)


def momentum(step: int, steps: int, schedule: Schedule) -> float | None:
    """Return the momentum (beta1 of Adam) at a step, or None if the schedule does not change it."""
    if schedule.name != "one_cycle":
        return None
    low, high = _MOMENTUM_RANGE
    return high - (high - low) * _cosine_ramp(step, schedule.warmup_fraction * steps, steps)


def _cosine_ramp(step: int, peak: float, steps: int) -> float:
    """Return a value that rises from 0 to 1 at step ``peak`` and falls to 0 at ``steps``."""
    # Distance from the peak, 0 to 1 on both sides.
    progress = (peak - step) / peak if step < peak else (step - peak) / max(1.0, steps - peak)
    return 0.5 * (1 + math.cos(math.pi * progress))


def image_size_at(epoch: int, recipe: TrainRecipe) -> int:
    """Return the size in pixels of the training images in an epoch, counted from 1.

    Source:
        Progressive resizing: Tan and Le (2021), arXiv:2104.00298.
    """
    progress = min(1.0, (epoch - 1) / max(1.0, _GROWING_FRACTION * recipe.epochs))
    size = recipe.initial_image_size + progress * (recipe.image_size - recipe.initial_image_size)
    return min(recipe.image_size, _SIZE_STEP * math.ceil(size / _SIZE_STEP))


def image_sizes(recipe: TrainRecipe) -> list[int]:
    """Return each image size of training and evaluation once, in pixels, the smallest first."""
    sizes = {image_size_at(epoch, recipe) for epoch in range(1, recipe.epochs + 1)}
    return sorted({*sizes, recipe.eval_image_size})


def ema_decay_at(step: int, decay: float) -> float:
    """Return the decay of the EMA at a step: a short memory at first, ``decay`` later."""
    return min(decay, (1 + step) / (10 + step))
