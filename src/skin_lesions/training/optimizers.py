"""Which parameters learn how fast."""

from typing import Any

import torch
from torch import nn

from skin_lesions.config.train import Optimizer

_KINDS: dict[str, Any] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def build_optimizer(
    groups: list[list[nn.Parameter]], recipe: Optimizer, pretrained: bool
) -> torch.optim.Optimizer:
    """Give each group of layers its learning rate, ``peak`` in its options.

    Args:
        groups: Parameters by depth: the stem first, the head last.
        recipe: Rates and decay.
        pretrained: Whether what lies below the head has learned before; else all learn alike.
    """
    options = []
    for factor, group in zip(_lr_multipliers(len(groups), recipe, pretrained), groups, strict=True):
        rate = factor * recipe.learning_rate
        # Pulling a bias or the scale of a norm to zero makes nothing simpler.
        for members, decay in (
            ([p for p in group if p.ndim > 1], recipe.weight_decay),
            ([p for p in group if p.ndim <= 1], 0.0),
        ):
            if members:
                options.append({"params": members, "lr": rate, "peak": rate, "weight_decay": decay})
    optimizer: torch.optim.Optimizer = _KINDS[recipe.name](options, fused=_fused(groups))
    return optimizer


def _lr_multipliers(groups: int, recipe: Optimizer, pretrained: bool) -> list[float]:
    if not pretrained:
        return [1.0] * groups
    below = [recipe.layerwise_lr_decay**depth for depth in range(groups - 1)]
    return [*reversed(below), recipe.head_lr_multiplier]


def _fused(groups: list[list[nn.Parameter]]) -> bool:
    # One pass over the weights instead of several: twice as fast on a CPU too.
    return groups[0][0].device.type in {"cpu", "cuda"}


def set_learning_rates(
    optimizer: torch.optim.Optimizer, factor: float, momentum: float | None
) -> None:
    """Set each group to a share of its peak rate, and the momentum unless None."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak"]
        if momentum is not None:
            group["betas"] = (momentum, group["betas"][1])


def max_learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the highest learning rate of all groups."""
    return max(float(group["lr"]) for group in optimizer.param_groups)
