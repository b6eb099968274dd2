"""Augmented views of annotated images: pose, zoom and shift, and color.

A view depends only on the seed, the number of the image and the number of the view.
"""

import math

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from skin_lesions.models.localization.poses import POSES, to_pose

_ZOOM = 1.3  # largest factor, and its reciprocal the smallest one
_SHIFT = 0.1  # largest shift, as a fraction of half of the image
_GAIN = 0.2  # largest change of brightness and contrast
_CHANNEL_GAIN = 0.08  # largest change of one color channel


def augmented_view(
    image: torch.Tensor, target: torch.Tensor, entropy: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one view of an image and of its target.

    Args:
        image: (3, s, s) uint8.
        target: (1, s, s) uint8, the covered fraction of each pixel times 255.
        entropy: Seed, number of the image, number of the view.

    Returns:
        (3, s, s) float32 from 0 to 255, and (1, s, s) float32 from 0 to 1.
    """
    rng = np.random.default_rng(entropy)
    # The views of an image have the poses in turn, in another order for each image.
    pose = (entropy[2] + int(np.random.default_rng(entropy[:2]).integers(len(POSES)))) % len(POSES)
    both = to_pose(torch.cat([image, target]).float(), pose)  # (4, s, s)
    both = _zoom(both, rng)
    pixels, covered = both[:3], both[3:] / 255
    contrast, brightness = rng.uniform(1 - _GAIN, 1 + _GAIN, size=2)
    channels = rng.uniform(1 - _CHANNEL_GAIN, 1 + _CHANNEL_GAIN, size=(3, 1, 1))
    gains = torch.tensor(brightness * channels, dtype=torch.float32)
    mean = pixels.mean()
    return (((pixels - mean) * float(contrast) + mean) * gains).clamp(0, 255), covered


def _zoom(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Zoom and shift (c, s, s); positions outside of the image are reflected."""
    limit = math.log(_ZOOM)
    scale = math.exp(rng.uniform(-limit, limit))  # of the visible part: below 1 magnifies
    shift = rng.uniform(-1, 1, size=2) * _SHIFT
    transform = torch.tensor([[scale, 0, shift[0]], [0, scale, shift[1]]], dtype=torch.float32)
    grid = affine_grid(transform[None], [1, *images.shape], align_corners=False)
    return grid_sample(images[None], grid, padding_mode="reflection", align_corners=False)[0]
