"""Random changes of whole batches, on the device that computes.

Each image takes its chance from its place in the epoch: row ``i`` of ``draws(n, seed, epoch)`` belongs
to the i-th image shown, in whatever batch or process it is. Each change reads columns of its own, so
leaving one out leaves the others as they were.

Source:
    Random resized crop: Szegedy et al. (2015), arXiv:1409.4842. Erasing: Zhong et al. (2020),
    arXiv:1708.04896. Mixup: Zhang et al. (2018), arXiv:1710.09412. CutMix: Yun et al. (2019),
    arXiv:1905.04899.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv
from torch.nn.functional import affine_grid, grid_sample

from skin_lesions.parameters import Augmentation
from skin_lesions.preprocessing import Preprocessing, normalised

_COLUMNS = (
    *("mirror", "upend", "turn", "area", "aspect", "left", "top"),
    *("brightness", "contrast", "saturation", "hue"),
    *("erased", "erased_area", "erased_aspect", "erased_left", "erased_top"),
    *("mixer", "blend", "cut_left", "cut_top"),
)
_IN_CACHE = 8  # images that a CPU changes at a time: half the time of 32 at once
_ERASED_AREA = (0.02, 0.2)  # share of the image
_ERASED_ASPECT = 3.0  # at most so many times as wide as high, or as high as wide
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers from 0 to 1, a row for each image and a column for each chance."""

    table: torch.Tensor

    def __getitem__(self, rows: slice) -> "Draws":
        return Draws(self.table[rows])

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> torch.Tensor:
        """Return (n,) numbers."""
        return self.table[:, _COLUMNS.index(name)]

    def between(self, name: str, low: float, high: float) -> torch.Tensor:
        """Return (n,) numbers, uniform from low to high."""
        return low + (high - low) * self.column(name)

    def ratio(self, name: str, highest: float) -> torch.Tensor:
        """Return (n,) numbers from 1/highest to highest, uniform in their logarithm."""
        return self.between(name, -math.log(highest), math.log(highest)).exp()


def draws(images: int, seed: int, epoch: int) -> Draws:
    """Draw all chances of an epoch, for images in the order they are shown."""
    rng = np.random.default_rng([seed, epoch, 1])  # 0 would be the stream of the order
    return Draws(torch.from_numpy(rng.random((images, len(_COLUMNS)), dtype=np.float32)))


def augmented(
    batch: torch.Tensor,
    targets: torch.Tensor,
    chances: Draws,
    recipe: Augmentation,
    preprocessing: Preprocessing,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn stored images into the inputs of a training step.

    Args:
        batch: (n, 3, size, size) uint8.
        targets: (n, classes), the share of each class.
        chances: One row per image.
        recipe: What is done, and how far.
        preprocessing: Mean and deviation of the inputs.

    Returns:
        float32 (n, 3, size, size), normalised, in channels-last memory order, and the targets that
        belong to them.
    """
    inputs = torch.empty(batch.shape, device=batch.device, memory_format=torch.channels_last)
    step = _IN_CACHE if batch.device.type == "cpu" else len(batch)
    for first in range(0, len(batch), step):
        rows = slice(first, first + step)
        inputs[rows] = _changed(batch[rows], chances[rows], recipe, preprocessing)
    if recipe.mixup or recipe.cutmix:
        return _mixed(inputs, targets, chances, recipe)
    return inputs, targets


def _changed(
    batch: torch.Tensor, chances: Draws, recipe: Augmentation, preprocessing: Preprocessing
) -> torch.Tensor:
    device = batch.device
    if _moves(recipe):
        warp = _warps(chances, recipe).to(device)
        grid = affine_grid(warp, list(batch.shape), align_corners=False)
        batch = grid_sample(batch.float(), grid, padding_mode="reflection", align_corners=False)
    inputs = _normalised(batch, chances, recipe, preprocessing)
    if recipe.erasing:
        inputs = inputs.masked_fill(_erased(chances, recipe, inputs).to(device), 0.0)
    return inputs


def _moves(recipe: Augmentation) -> bool:
    return (
        recipe.flips or recipe.rotation != "none" or recipe.crop_area < 1 or recipe.crop_aspect > 1
    )


def _warps(chances: Draws, recipe: Augmentation) -> torch.Tensor:
    """Return (n, 2, 3): where each place of the new image (-1 to 1) lies in the old one.

    A window of the drawn area and aspect is laid somewhere on the picture, turned about its own
    centre, and mirrored.
    """
    area = chances.between("area", recipe.crop_area, 1.0)
    aspect = chances.ratio("aspect", recipe.crop_aspect).sqrt()
    width, height = ((area.sqrt() * way).clamp(max=1.0) for way in (aspect, 1 / aspect))
    angle = chances.column("turn")
    if recipe.rotation == "quarter":
        angle = (4 * angle).floor() / 4
    turned = angle * 2 * math.pi if recipe.rotation != "none" else torch.zeros(len(chances))
    cos, sin = turned.cos(), turned.sin()
    mirror, upend = (
        1 - 2 * (chances.column(name) < 0.5).float() * recipe.flips for name in ("mirror", "upend")
    )
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    linear = rotation * torch.stack([width * mirror, height * upend], dim=1)[:, None]
    left = chances.between("left", -1, 1) * (1 - width)
    top = chances.between("top", -1, 1) * (1 - height)
    return torch.cat([linear, torch.stack([left, top], dim=1)[:, :, None]], dim=2)


def _normalised(
    batch: torch.Tensor, chances: Draws, recipe: Augmentation, preprocessing: Preprocessing
) -> torch.Tensor:
    if not (recipe.brightness or recipe.contrast or recipe.saturation or recipe.hue):
        return normalised(batch, preprocessing)
    matrix, shift = (
        part.to(batch.device) for part in _colour_changes(chances, recipe, preprocessing)
    )
    # Colour by colour, not pixel by pixel: products of long rows are seven times as fast.
    changed = torch.baddbmm(shift, matrix, batch.float().reshape(len(batch), 3, -1))
    return changed.view(batch.shape)


def _colour_changes(
    chances: Draws, recipe: Augmentation, preprocessing: Preprocessing
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix (n, 3, 3) and a shift (n, 3, 1) that take stored colours to changed inputs.

    All changes are linear, so they cost one product, normalising included; what leaves the range
    of colours is not cut off.
    """
    brightness, contrast, saturation = (
        chances.between(name, 1 - share, 1 + share).view(-1, 1, 1)
        for name, share in (
            ("brightness", recipe.brightness),
            ("contrast", recipe.contrast),
            ("saturation", recipe.saturation),
        )
    )
    mean, std = torch.tensor(preprocessing.mean) * 255, torch.tensor(preprocessing.std) * 255
    grey = torch.tensor(_LUMA).expand(3, 3)
    hues = _hue_rotations(chances.between("hue", -recipe.hue, recipe.hue))
    tint = hues @ (saturation * torch.eye(3) + (1 - saturation) * grey)
    matrix = tint * brightness * contrast
    shift = (tint @ mean.view(3, 1)) * (1 - contrast) - mean.view(3, 1)
    return matrix / std.view(3, 1), shift / std.view(3, 1)


def _hue_rotations(turns: torch.Tensor) -> torch.Tensor:
    """Return (n, 3, 3): rotations of colour space about the axis of greys, by shares of a turn."""
    cos, sin = ((2 * math.pi * turns).cos(), (2 * math.pi * turns).sin())
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    along = torch.full((3, 3), 1 / 3)
    cos, sin = cos.view(-1, 1, 1), sin.view(-1, 1, 1)
    return cos * torch.eye(3) + sin * across + (1 - cos) * along


def _erased(chances: Draws, recipe: Augmentation, inputs: torch.Tensor) -> torch.Tensor:
    area = chances.between("erased_area", *_ERASED_AREA) * (
        chances.column("erased") < recipe.erasing
    )
    aspect = chances.ratio("erased_aspect", _ERASED_ASPECT).sqrt()
    width, height = ((area.sqrt() * way).clamp(max=1.0) for way in (aspect, 1 / aspect))
    left = chances.column("erased_left") * (1 - width)
    top = chances.column("erased_top") * (1 - height)
    return _rectangles(left, top, width, height, inputs.shape[-1])


def _rectangles(
    left: torch.Tensor, top: torch.Tensor, width: torch.Tensor, height: torch.Tensor, size: int
) -> torch.Tensor:
    """Return (n, 1, size, size): true inside each rectangle; all in shares of the image."""
    centres = (torch.arange(size) + 0.5) / size
    columns = (centres >= left[:, None]) & (centres < (left + width)[:, None])
    rows = (centres >= top[:, None]) & (centres < (top + height)[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _mixed(
    inputs: torch.Tensor, targets: torch.Tensor, chances: Draws, recipe: Augmentation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend each image with its neighbour, or lay a part of the neighbour over it.

    The order is random, so a neighbour is any image; and pairs stay together when a batch is
    divided between processes.
    """
    neighbours = torch.arange(len(inputs)) ^ 1
    neighbours[neighbours >= len(inputs)] = len(inputs) - 1
    cut = _cut_or_blended(chances, recipe)
    kept = torch.where(
        cut, _beta(chances, recipe.cutmix or 1.0), _beta(chances, recipe.mixup or 1.0)
    )
    edge = (1 - kept).sqrt() * cut
    left, top = (chances.column(name) * (1 - edge) for name in ("cut_left", "cut_top"))
    patches = _rectangles(left, top, edge, edge, inputs.shape[-1])
    kept = torch.where(cut, 1 - patches.float().mean(dim=(1, 2, 3)), kept)
    share = torch.where(cut.view(-1, 1, 1, 1), (~patches).float(), kept.view(-1, 1, 1, 1))
    neighbours, share, kept = (part.to(inputs.device) for part in (neighbours, share, kept))
    blend = kept.to(targets.dtype)[:, None]
    return (
        inputs.lerp(inputs[neighbours], 1 - share),
        targets.lerp(targets[neighbours], 1 - blend),
    )


def _cut_or_blended(chances: Draws, recipe: Augmentation) -> torch.Tensor:
    """Say which images are cut into; the others are blended."""
    if recipe.mixup and recipe.cutmix:
        return chances.column("mixer") < 0.5
    return torch.full((len(chances),), recipe.cutmix > 0)


def _beta(chances: Draws, alpha: float) -> torch.Tensor:
    """Return (n,) numbers of the symmetric beta distribution."""
    quantiles = betaincinv(alpha, alpha, chances.column("blend").double().numpy())
    return torch.from_numpy(quantiles).float()
