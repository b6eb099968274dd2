"""What changes while a training goes on: rates, momentum, image sizes; functions of the position alone."""

import math

from skin_lesions.config.train import Schedule, TrainRecipe

_ONE_CYCLE_START = 1 / 25  # of the peak rate; these three are the defaults of torch's OneCycleLR
_ONE_CYCLE_END = 1 / 25e4
_MOMENTA = (0.85, 0.95)  # at the peak rate, and at its start and end
_SIZE_STEP = 16  # pixels; networks halve an image four or five times
_GROWING_SHARE = 2 / 3  # of the epochs; the rest are learned at full size


def learning_rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """Return the share of the peak learning rate at a step, counted from 0.

    ``cosine`` and ``constant`` warm up linearly; ``one_cycle`` rises and falls in half cosines.

    Source:
        Smith and Topin (2018), arXiv:1708.07120, for ``one_cycle``.
    """
    warmup = schedule.warmup_share * steps
    if schedule.name == "one_cycle":
        low = _ONE_CYCLE_START if step < warmup else _ONE_CYCLE_END
        return low + (1 - low) * _height(step, warmup, steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1.0 if schedule.name == "constant" else _height(step, warmup, steps)


def momentum(step: int, steps: int, schedule: Schedule) -> float | None:
    """Return the momentum (Adam's first beta) at a step; None where the schedule leaves it alone."""
    if schedule.name != "one_cycle":
        return None
    low, high = _MOMENTA
    return high - (high - low) * _height(step, schedule.warmup_share * steps, steps)


def _height(step: int, peak: float, steps: int) -> float:
    """Rise from 0 to 1 at step ``peak``, and fall to 0 at ``steps``, in half cosines."""
    way = (peak - step) / peak if step < peak else (step - peak) / max(1.0, steps - peak)
    return 0.5 * (1 + math.cos(math.pi * way))


def image_size_in(epoch: int, recipe: TrainRecipe) -> int:
    """Return the edge of the training images in an epoch, counted from 1, pixels.

    Source:
        Progressive resizing: Tan and Le (2021), arXiv:2104.00298.
    """
    way = min(1.0, (epoch - 1) / max(1.0, _GROWING_SHARE * recipe.epochs))
    size = recipe.start_size + way * (recipe.image_size - recipe.start_size)
    return min(recipe.image_size, _SIZE_STEP * math.ceil(size / _SIZE_STEP))


def decay_in(step: int, decay: float) -> float:
    """Return the decay of the averaged weights at a step: short memory at first, ``decay`` later."""
    return min(decay, (1 + step) / (10 + step))
