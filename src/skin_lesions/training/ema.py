"""Exponential moving average (EMA) of the weights.

EMA weights vary less between epochs than the last weights, and are often better.
"""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ModelEma:
    """The exponential moving average (EMA) of a network's weights and batch statistics.

    ``network`` is a separate copy of the network, in evaluation mode.

    Source:
        Polyak and Juditsky (1992), doi:10.1137/0330046; exponential as in Tan and Le (2019).
    """

    def __init__(self, network: nn.Module):
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        # Batch statistics are averaged like the weights that they belong to. Counters are not.
        averaged, current = self.network.state_dict(), network.state_dict()
        names = [name for name, value in averaged.items() if value.is_floating_point()]
        self._averages = [averaged[name] for name in names]
        self._sources = [current[name] for name in names]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Update the average: ``decay * average + (1 - decay) * current``."""
        get_ema_multi_avg_fn(decay)(self._averages, self._sources, 0)
