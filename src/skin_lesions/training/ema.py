"""Averaged weights: steadier from epoch to epoch, and often better, than the last ones."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ModelEma:
    """The exponential moving average (EMA) of a network's weights and batch statistics.

    ``network`` is a network of its own, in evaluation mode.

    Source:
        Polyak and Juditsky (1992), doi:10.1137/0330046; exponential as in Tan and Le (2019).
    """

    def __init__(self, network: nn.Module):
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        # Batch statistics belong to their weights, so they are averaged with them; counts are not.
        ours, theirs = self.network.state_dict(), network.state_dict()
        moving = [name for name, value in ours.items() if value.is_floating_point()]
        self._averages = [ours[name] for name in moving]
        self._sources = [theirs[name] for name in moving]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move a share of ``1 - decay`` of the way to the weights of now."""
        get_ema_multi_avg_fn(decay)(self._averages, self._sources, 0)
