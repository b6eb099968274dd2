"""Batch augmentation on the device: geometric and color transforms, random erasing, mixup, CutMix.

Random numbers depend only on seed, epoch and the position of the image in the epoch. Row ``i`` of
``sample_augmentations(n, seed, epoch, ...)`` belongs to the i-th image of the epoch. Results do not
depend on batch size or number of processes. Each transform reads its own columns of the random
numbers, so switching one off does not change the others. The parameters of an epoch are computed
at once and moved to the device, so no step waits for a transfer from the host.

Source:
    Random resized crop: Szegedy et al. (2015), arXiv:1409.4842. Erasing: Zhong et al. (2020),
    arXiv:1708.04896. Mixup: Zhang et al. (2018), arXiv:1710.09412. CutMix: Yun et al. (2019),
    arXiv:1905.04899.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
import torch
from scipy.special import betaincinv
from torch.nn.functional import affine_grid, grid_sample

from skin_lesions.config.train import Augmentation
from skin_lesions.data.preprocessing_settings import Preprocessing

_CPU_CHUNK_SIZE = 8  # images that a CPU augments at a time: half the time of 32 at once
_ERASED_AREA = (0.02, 0.2)  # fraction of the image
_ERASED_ASPECT = 3.0  # maximum ratio of width to height, or of height to width
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Draw(IntEnum):
    """Column of a random decision in ``RandomDraws``.

    The order is part of the result: it decides which random number each transform gets.
    """

    HFLIP = 0
    VFLIP = 1
    ROTATION = 2
    CROP_AREA = 3
    CROP_ASPECT = 4
    CROP_LEFT = 5
    CROP_TOP = 6
    BRIGHTNESS = 7
    CONTRAST = 8
    SATURATION = 9
    HUE = 10
    ERASE = 11
    ERASE_AREA = 12
    ERASE_ASPECT = 13
    ERASE_LEFT = 14
    ERASE_TOP = 15
    MIX_OR_CUT = 16
    BETA_QUANTILE = 17
    CUT_LEFT = 18
    CUT_TOP = 19


@dataclass(frozen=True)
class RandomDraws:
    """Uniform random numbers from 0 to 1: one row per image, one column per random decision."""

    table: torch.Tensor

    def __len__(self) -> int:
        return len(self.table)

    def column(self, draw: Draw) -> torch.Tensor:
        """Return (n,) numbers."""
        return self.table[:, draw]

    def between(self, draw: Draw, low: float, high: float) -> torch.Tensor:
        """Return (n,) numbers, uniform from low to high."""
        return low + (high - low) * self.column(draw)

    def log_uniform(self, draw: Draw, highest: float) -> torch.Tensor:
        """Return (n,) numbers from 1/highest to highest, uniform in their logarithm."""
        return self.between(draw, -math.log(highest), math.log(highest)).exp()


def draw_random_numbers(images: int, seed: int, epoch: int) -> RandomDraws:
    """Draw all random numbers of an epoch, one row per image in the order of the epoch."""
    rng = np.random.default_rng([seed, epoch, 1])  # 0 would be the stream of the image order
    return RandomDraws(torch.from_numpy(rng.random((images, len(Draw)), dtype=np.float32)))


@dataclass(frozen=True)
class AugmentationParams:
    """Parameters of the augmentation: one row per image, in the order of the epoch.

    A field is None if the recipe does not use its transform. Boxes are (left, top, width, height)
    in fractions of the image; a box of width 0 is empty.

    Attributes:
        color_matrices: (n, 3, 3); with the shifts, map stored colors to normalized inputs.
        color_shifts: (n, 3, 1).
        affine_matrices: (n, 2, 3), map output coordinates (-1 to 1) to input coordinates.
        erased_boxes: (n, 4).
        cutmix_boxes: (n, 4), replaced by the same box of the neighbor.
        mixup_lambda: (n,), weight of the image when it is blended with its neighbor.
    """

    color_matrices: torch.Tensor
    color_shifts: torch.Tensor
    affine_matrices: torch.Tensor | None
    erased_boxes: torch.Tensor | None
    cutmix_boxes: torch.Tensor | None
    mixup_lambda: torch.Tensor | None

    def __getitem__(self, rows: slice) -> "AugmentationParams":
        return self._map_tensors(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> "AugmentationParams":
        """Return the parameters on a device."""
        return self._map_tensors(lambda tensor: tensor.to(device))

    def _map_tensors(
        self, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> "AugmentationParams":
        mapped: dict[str, torch.Tensor] = {}
        for field in fields(self):
            tensor = getattr(self, field.name)
            if tensor is not None:
                mapped[field.name] = function(tensor)
        return replace(self, **mapped)


def sample_augmentations(
    images: int, seed: int, epoch: int, recipe: Augmentation, preprocessing: Preprocessing
) -> AugmentationParams:
    """Sample the augmentation of each image of an epoch, in the order of the epoch."""
    draws = draw_random_numbers(images, seed, epoch)
    color_matrices, color_shifts = _color_transforms(draws, recipe, preprocessing)
    has_mixing = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
    is_cut = _uses_cutmix(draws, recipe)
    is_warped = _has_geometric_transform(recipe)
    return AugmentationParams(
        color_matrices=color_matrices,
        color_shifts=color_shifts,
        affine_matrices=_affine_matrices(draws, recipe) if is_warped else None,
        erased_boxes=_erased_boxes(draws, recipe) if recipe.random_erasing_prob else None,
        cutmix_boxes=_cutmix_boxes(draws, recipe, is_cut) if has_mixing else None,
        mixup_lambda=_mixup_lambda(draws, recipe, is_cut) if has_mixing else None,
    )


def apply_augmentations(
    batch: torch.Tensor, targets: torch.Tensor, augmentations: AugmentationParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Convert stored images into the inputs of a training step.

    Args:
        batch: (n, 3, size, size) uint8.
        targets: (n, classes), the fraction of each class.
        augmentations: One row per image.

    Returns:
        float32 (n, 3, size, size), normalized, in channels-last memory format, and their targets.
    """
    inputs = torch.empty(batch.shape, device=batch.device, memory_format=torch.channels_last)
    # On a CPU in chunks, so that the intermediate values of a chunk stay in its cache.
    chunk_size = _CPU_CHUNK_SIZE if batch.device.type == "cpu" else len(batch)
    for first in range(0, len(batch), chunk_size):
        rows = slice(first, first + chunk_size)
        inputs[rows] = _apply_affine_and_color(batch[rows], augmentations[rows])
    return _apply_mixing(inputs, targets, augmentations)


def _apply_affine_and_color(batch: torch.Tensor, augmentations: AugmentationParams) -> torch.Tensor:
    batch = batch.float()  # (n, 3, size, size), 0 to 255
    if augmentations.affine_matrices is not None:
        # grid: (n, size, size, 2), the input position (x, y) of each output pixel, -1 to 1. All
        # geometric transforms are one matrix, so the image is interpolated only once.
        grid = affine_grid(augmentations.affine_matrices, list(batch.shape), align_corners=False)
        batch = grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    # Channel-major (n, 3, pixels): products of long rows are seven times as fast as per pixel.
    channels = batch.reshape(len(batch), 3, -1)
    # color_shifts + color_matrices @ channels: (n, 3, pixels), normalized.
    colored = torch.baddbmm(augmentations.color_shifts, augmentations.color_matrices, channels)
    inputs = colored.view(batch.shape)
    if augmentations.erased_boxes is not None:
        erased = _rectangle_mask(augmentations.erased_boxes, inputs.shape[-1])
        inputs = inputs.masked_fill(erased, 0.0)  # 0 is the mean color of normalized inputs
    return inputs


def _apply_mixing(
    inputs: torch.Tensor, targets: torch.Tensor, augmentations: AugmentationParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply mixup or CutMix to each image and its neighbor.

    The order of the epoch is random, so the neighbor is a random image. Neighbors are pairs
    (0, 1), (2, 3), ..., which stay together when a batch is sharded between processes.
    """
    if augmentations.mixup_lambda is None or augmentations.cutmix_boxes is None:
        return inputs, targets
    # (n,): 1, 0, 3, 2, ...; the exclusive or with 1 exchanges the members of a pair.
    neighbors = torch.arange(len(inputs), device=inputs.device) ^ 1
    # The last image of an odd batch has no neighbor and is mixed with itself.
    neighbors = neighbors.clamp(max=len(inputs) - 1)
    # in_box: (n, 1, size, size), 1 in the CutMix box, which shows only the neighbor.
    in_box = _rectangle_mask(augmentations.cutmix_boxes, inputs.shape[-1]).float()
    # own_weight: (n, 1, size, size), weight of the image itself at each pixel.
    own_weight = augmentations.mixup_lambda.view(-1, 1, 1, 1) * (1 - in_box)
    # Targets are mixed in the proportion of the pixels: (n, 1).
    own_fraction = own_weight.mean(dim=(1, 2, 3)).to(targets.dtype)[:, None]
    return (
        inputs.lerp(inputs[neighbors], 1 - own_weight),
        targets.lerp(targets[neighbors], 1 - own_fraction),
    )


def _rectangle_mask(boxes: torch.Tensor, size: int) -> torch.Tensor:
    """Return (n, 1, size, size): true inside each box."""
    left, top, width, height = boxes[:, :, None].unbind(dim=1)  # each (n, 1)
    centers = (torch.arange(size, device=boxes.device) + 0.5) / size  # (size,), pixel centers
    # (n, size) each: a rectangle is the product of a range of columns and a range of rows.
    columns = (centers >= left) & (centers < left + width)
    rows = (centers >= top) & (centers < top + height)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _has_geometric_transform(recipe: Augmentation) -> bool:
    return (
        recipe.flips
        or recipe.rotation != "none"
        or recipe.min_crop_area < 1
        or recipe.max_crop_aspect_ratio > 1
    )


def _affine_matrices(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Return (n, 2, 3): matrices that map output coordinates to input coordinates.

    A crop window of random area, aspect ratio and position is rotated about its own center and
    flipped.
    """
    area = draws.between(Draw.CROP_AREA, recipe.min_crop_area, 1.0)
    ratio = draws.log_uniform(Draw.CROP_ASPECT, recipe.max_crop_aspect_ratio)
    width, height = _sides(area, ratio)

    turns = draws.column(Draw.ROTATION)  # (n,), fraction of a full turn
    if recipe.rotation == "quarter":
        turns = (4 * turns).floor() / 4
    angle = turns * 2 * math.pi if recipe.rotation != "none" else torch.zeros(len(draws))
    cos = angle.cos()
    sin = angle.sin()
    # (n,) signs, -1 for a flip; always 1 if the recipe has no flips.
    hflip = 1 - 2 * (draws.column(Draw.HFLIP) < 0.5).float() * recipe.flips
    vflip = 1 - 2 * (draws.column(Draw.VFLIP) < 0.5).float() * recipe.flips

    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    # linear = rotation @ diag(width * hflip, height * vflip): (n, 2, 2)
    linear = rotation * torch.stack([width * hflip, height * vflip], dim=1)[:, None]
    # Center of the window in input coordinates; the unrotated window stays inside the image.
    left = draws.between(Draw.CROP_LEFT, -1, 1) * (1 - width)
    top = draws.between(Draw.CROP_TOP, -1, 1) * (1 - height)
    # (n, 2, 2) and (n, 2, 1): input = linear @ output + center.
    return torch.cat([linear, torch.stack([left, top], dim=1)[:, :, None]], dim=2)


def _color_transforms(
    draws: RandomDraws, recipe: Augmentation, preprocessing: Preprocessing
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return matrices (n, 3, 3) and shifts (n, 3, 1) from stored colors to augmented inputs.

    All color transforms and the normalization are linear, so one matrix product applies them.
    Values outside of the color range are not clipped.
    """
    brightness = _factors(draws, Draw.BRIGHTNESS, recipe.brightness)
    contrast = _factors(draws, Draw.CONTRAST, recipe.contrast)
    saturation = _factors(draws, Draw.SATURATION, recipe.saturation)
    hue_rotations = _hue_rotations(draws.between(Draw.HUE, -recipe.hue, recipe.hue))
    # (3, 1), for stored colors from 0 to 255.
    mean = (torch.tensor(preprocessing.mean) * 255).view(3, 1)
    std = (torch.tensor(preprocessing.std) * 255).view(3, 1)
    to_gray = torch.tensor(_LUMA).expand(3, 3)  # each output channel is the luma
    # Saturation blends each color with its gray value; hue rotates the result: (n, 3, 3).
    tint = hue_rotations @ (saturation * torch.eye(3) + (1 - saturation) * to_gray)
    matrix = tint * brightness * contrast
    # Contrast is relative to the mean of the data; the last term is the normalization.
    shift = (tint @ mean) * (1 - contrast) - mean
    return matrix / std, shift / std


def _factors(draws: RandomDraws, draw: Draw, strength: float) -> torch.Tensor:
    """Return (n, 1, 1): factors from 1 - strength to 1 + strength."""
    return draws.between(draw, 1 - strength, 1 + strength).view(-1, 1, 1)


def _hue_rotations(turns: torch.Tensor) -> torch.Tensor:
    """Return (n, 3, 3): rotations of RGB space about the gray axis, by fractions of a full turn.

    Rodrigues' formula for the unit axis k = (1, 1, 1) / sqrt(3):
    R = cos * I + sin * [k]x + (1 - cos) * k k^T.
    """
    angle = (2 * math.pi * turns).view(-1, 1, 1)
    cos = angle.cos()
    sin = angle.sin()
    cross_matrix = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # [k]x
    projection = torch.full((3, 3), 1 / 3)  # k k^T
    return cos * torch.eye(3) + sin * cross_matrix + (1 - cos) * projection


def _sides(area: torch.Tensor, ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (n,) widths and (n,) heights, at most 1, of rectangles.

    Args:
        area: (n,), fractions of the image.
        ratio: (n,), width divided by height.
    """
    aspect = ratio.sqrt()  # width * height = area, width / height = aspect**2
    width = (area.sqrt() * aspect).clamp(max=1.0)
    height = (area.sqrt() * (1 / aspect)).clamp(max=1.0)
    return width, height


def _erased_boxes(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Return (n, 4): the box that is erased in each image; area 0 where none is."""
    is_erased = draws.column(Draw.ERASE) < recipe.random_erasing_prob
    area = draws.between(Draw.ERASE_AREA, *_ERASED_AREA) * is_erased
    width, height = _sides(area, draws.log_uniform(Draw.ERASE_ASPECT, _ERASED_ASPECT))
    left = draws.column(Draw.ERASE_LEFT) * (1 - width)
    top = draws.column(Draw.ERASE_TOP) * (1 - height)
    return torch.stack([left, top, width, height], dim=1)


def _uses_cutmix(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Return (n,): true where CutMix is applied, false where mixup is."""
    if recipe.mixup_alpha and recipe.cutmix_alpha:
        return draws.column(Draw.MIX_OR_CUT) < 0.5
    return torch.full((len(draws),), recipe.cutmix_alpha > 0)


def _cutmix_boxes(draws: RandomDraws, recipe: Augmentation, is_cut: torch.Tensor) -> torch.Tensor:
    """Return (n, 4): the box that shows the neighbor; size 0 where mixup is applied."""
    # A box of size sqrt(1 - lambda) has the area 1 - lambda.
    size = (1 - _beta(draws, recipe.cutmix_alpha or 1.0)).sqrt() * is_cut
    left = draws.column(Draw.CUT_LEFT) * (1 - size)
    top = draws.column(Draw.CUT_TOP) * (1 - size)
    return torch.stack([left, top, size, size], dim=1)


def _mixup_lambda(draws: RandomDraws, recipe: Augmentation, is_cut: torch.Tensor) -> torch.Tensor:
    """Return (n,): the weight of each image in its blend; 1 where CutMix is applied."""
    return torch.where(is_cut, 1.0, _beta(draws, recipe.mixup_alpha or 1.0))


def _beta(draws: RandomDraws, alpha: float) -> torch.Tensor:
    """Return (n,) numbers of the symmetric beta distribution, by its inverse CDF."""
    quantiles = betaincinv(alpha, alpha, draws.column(Draw.BETA_QUANTILE).double().numpy())
    return torch.from_numpy(quantiles).float()
