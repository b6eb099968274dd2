"""Layers whose output is a map of features.

This module does not import torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Layout = Literal["channels_first", "channels_last", "tokens"]


@dataclass(frozen=True, kw_only=True)
class MapLayer:
    """A layer whose output is a map of features.

    Attributes:
        name: Name of the layer in the network.
        layout: ``channels_first`` (n, c, h, w), ``channels_last`` (n, h, w, c), or ``tokens``
            (n, tokens, c) with the positions of an h x w map in rows.
        side: Height and width of the map, h = w.
        prefix_tokens: Number of tokens before those of the map; 0 without tokens.
    """

    name: str
    layout: Layout
    side: int
    prefix_tokens: int = 0

    def to_map(self, output: "torch.Tensor") -> "torch.Tensor":
        """Return the output of the layer, or its gradient, as (n, c, h, w)."""
        if self.layout == "channels_first":
            return output
        if self.layout == "channels_last":
            return output.permute(0, 3, 1, 2)
        patches = output[:, self.prefix_tokens :]  # (n, h * w, c)
        return patches.transpose(1, 2).unflatten(2, (self.side, self.side))
