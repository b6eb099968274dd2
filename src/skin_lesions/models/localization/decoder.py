"""Decoder: a small network from the feature pyramid to the logits of a mask, and its loss."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, relu

from skin_lesions.models.localization.feature_pyramid import STRIDES, FeaturePyramid
from skin_lesions.models.map_layers import MapLayer

WIDTH = 64  # channels
_GROUPS = 8  # of the group normalization, which does not depend on the batch size
_CONVOLUTIONS = 2


class MaskDecoder(nn.Module):
    """Projects each map to the same channels, adds them on one grid, and convolves."""

    def __init__(self, channels: Sequence[int], grid: int) -> None:
        """Build a decoder for maps with these channels, with g = ``grid`` positions on a side."""
        super().__init__()
        self._grid = (grid, grid)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, WIDTH, 1), nn.GroupNorm(_GROUPS, WIDTH))
            for count in channels
        )
        layers: list[nn.Module] = []
        for _ in range(_CONVOLUTIONS):
            layers += [
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
                nn.GroupNorm(_GROUPS, WIDTH),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Conv2d(WIDTH, 1, 1))

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return mask logits (n, 1, g, g) for maps (n, c, h, w)."""
        total = torch.zeros((), device=maps[0].device)
        for projection, features in zip(self.projections, maps, strict=True):
            projected = projection(features)
            total = total + interpolate(projected, self._grid, mode="bilinear", align_corners=False)
        logits: torch.Tensor = self.body(relu(total))
        return logits


def decoder_grid(layers: Sequence[MapLayer], image_size: int) -> int:
    """Return the side of the mask: that of the finest map, and at least that of stride 8.

    The maps of vision transformers are coarser, and are interpolated.
    """
    return max(layers[0].side, round(image_size / STRIDES[0]))


def decoder_channels(state_dict: Mapping[str, object]) -> list[int]:
    """Return the input channels of each map for the tensors of a ``MaskDecoder``."""
    channels: list[int] = []
    while isinstance(
        weight := state_dict.get(f"projections.{len(channels)}.0.weight"), torch.Tensor
    ):
        channels.append(weight.shape[1])
    return channels


class MaskNetwork(nn.Module):
    """A feature pyramid and its decoder: normalized images to mask logits, one ONNX graph."""

    def __init__(self, pyramid: FeaturePyramid, decoder: MaskDecoder) -> None:
        super().__init__()
        self.pyramid, self.decoder = pyramid, decoder

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return mask logits (n, 1, g, g) of normalized images (n, 3, height, width)."""
        logits: torch.Tensor = self.decoder(self.pyramid(inputs))
        return logits


def mask_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the sum of binary cross-entropy and Dice loss, a scalar.

    The cross-entropy counts each position. The Dice loss counts each image, so that a small lesion
    has the same weight as a large one.

    Args:
        logits: (n, 1, g, g).
        targets: (n, 1, g, g), from 0 to 1: the fraction of each cell that the lesion covers.

    Source:
        Milletari et al. (2016), doi:10.1109/3DV.2016.79, without squares in the denominator.
    """
    probabilities = logits.sigmoid()
    intersection = (probabilities * targets).sum(dim=(1, 2, 3))
    total = probabilities.sum(dim=(1, 2, 3)) + targets.sum(dim=(1, 2, 3))
    # 1 is added so that a lesion below the size of a cell has a finite gradient.
    dice = (2 * intersection + 1) / (total + 1)  # (n,)
    return binary_cross_entropy_with_logits(logits, targets) + (1 - dice).mean()
