"""What changes while a training goes on: rates, momentum, image sizes; functions of the position alone."""

import math

from skin_lesions.config.train import Schedule, TrainRecipe

_ONE_CYCLE_START = 1 / 25  # of the peak rate; these three are the defaults of torch's OneCycleLR
_ONE_CYCLE_END = 1 / 25e4
_MOMENTUM_RANGE = (0.85, 0.95)  # at the peak rate, and at its start and end
_SIZE_STEP = 16  # pixels; networks halve an image four or five times
_GROWING_FRACTION = 2 / 3  # of the epochs; the rest are learned at full size


def learning_rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """Return the share of the peak learning rate at a step, counted from 0.

    ``cosine`` and ``constant`` warm up linearly; ``one_cycle`` rises and falls in half cosines.

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
    """Return the momentum (Adam's first beta) at a step; None where the schedule leaves it alone."""
    if schedule.name != "one_cycle":
        return None
    low, high = _MOMENTUM_RANGE
    return high - (high - low) * _cosine_ramp(step, schedule.warmup_fraction * steps, steps)


def _cosine_ramp(step: int, peak: float, steps: int) -> float:
    """Rise from 0 to 1 at step ``peak``, and fall to 0 at ``steps``, in half cosines."""
    progress = (peak - step) / peak if step < peak else (step - peak) / max(1.0, steps - peak)
    return 0.5 * (1 + math.cos(math.pi * progress))


def image_size_at(epoch: int, recipe: TrainRecipe) -> int:
    """Return the edge of the training images in an epoch, counted from 1, pixels.

    Source:
        Progressive resizing: Tan and Le (2021), arXiv:2104.00298.
    """
    progress = min(1.0, (epoch - 1) / max(1.0, _GROWING_FRACTION * recipe.epochs))
    size = recipe.initial_image_size + progress * (recipe.image_size - recipe.initial_image_size)
    return min(recipe.image_size, _SIZE_STEP * math.ceil(size / _SIZE_STEP))


def ema_decay_at(step: int, decay: float) -> float:
    """Return the decay of the averaged weights at a step: short memory at first, ``decay`` later."""
    return min(decay, (1 + step) / (10 + step))
