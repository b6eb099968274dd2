"""Poses of square images and maps: the eight combinations of quarter turns and mirroring."""

from collections.abc import Callable, Sequence

import torch

POSES = tuple(range(8))  # 4 to 7 are the mirrored ones
# Without quarter turns: identity, half turn and both mirror images. Their mean is the same for a
# mirrored image, mirrored.
FLIPS = (0, 2, 4, 6)


def to_pose(images: torch.Tensor, pose: int) -> torch.Tensor:
    """Return images (..., s, s) in a pose: ``pose % 4`` quarter turns, then mirrored from 4 on."""
    turned = torch.rot90(images, pose % 4, dims=(-2, -1))
    return turned.flip(-1) if pose >= 4 else turned


def from_pose(maps: torch.Tensor, pose: int) -> torch.Tensor:
    """Undo ``to_pose`` for maps (..., g, g) of images in this pose."""
    turned = maps.flip(-1) if pose >= 4 else maps
    return torch.rot90(turned, -(pose % 4), dims=(-2, -1))


def mean_over_poses(
    maps_of_images: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    poses: Sequence[int],
) -> torch.Tensor:
    """Return the mean of the maps of images in several poses, each turned back (n, g, g).

    Args:
        maps_of_images: Function of images (n, 3, s, s) that returns maps (n, g, g).
        images: (n, 3, s, s).
        poses: Numbers of the poses, 0 to 7.
    """
    maps = [from_pose(maps_of_images(to_pose(images, pose)), pose) for pose in poses]
    return torch.stack(maps).mean(dim=0)
