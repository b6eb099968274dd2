"""Random changes of whole batches, on the device that computes.

Each image takes its chance from its place in the epoch: row ``i`` of ``changes(n, seed, epoch, ...)``
belongs to the i-th image shown, in whatever batch or process it is. Each change reads columns of its own
of what is drawn, so leaving one out leaves the others as they were. What is to be done is worked out
for an epoch at once, and then lies on the device: within a step, no GPU waits for numbers of ours.

Source:
    Random resized crop: Szegedy et al. (2015), arXiv:1409.4842. Erasing: Zhong et al. (2020),
    arXiv:1708.04896. Mixup: Zhang et al. (2018), arXiv:1710.09412. CutMix: Yun et al. (2019),
    arXiv:1905.04899.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.special import betaincinv
from torch.nn.functional import affine_grid, grid_sample

from skin_lesions.config.train import Augmentation
from skin_lesions.data.preprocessing import Preprocessing

_COLUMNS = (
    *("mirror", "upend", "turn", "area", "aspect", "left", "top"),
    *("brightness", "contrast", "saturation", "hue"),
    *("erased", "erased_area", "erased_aspect", "erased_left", "erased_top"),
    *("mixer", "blend", "cut_left", "cut_top"),
)
_CPU_CHUNK_SIZE = 8  # images that a CPU changes at a time: half the time of 32 at once
_ERASED_AREA = (0.02, 0.2)  # share of the image
_ERASED_ASPECT = 3.0  # at most so many times as wide as high, or as high as wide
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class RandomDraws:
    """Uniform random numbers from 0 to 1, a row for each image and a column for each chance."""

    table: torch.Tensor

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> torch.Tensor:
        """Return (n,) numbers."""
        return self.table[:, _COLUMNS.index(name)]

    def between(self, name: str, low: float, high: float) -> torch.Tensor:
        """Return (n,) numbers, uniform from low to high."""
        return low + (high - low) * self.column(name)

    def log_uniform(self, name: str, highest: float) -> torch.Tensor:
        """Return (n,) numbers from 1/highest to highest, uniform in their logarithm."""
        return self.between(name, -math.log(highest), math.log(highest)).exp()


def draw_random_numbers(images: int, seed: int, epoch: int) -> RandomDraws:
    """Draw all chances of an epoch, for images in the order they are shown."""
    rng = np.random.default_rng([seed, epoch, 1])  # 0 would be the stream of the order
    return RandomDraws(torch.from_numpy(rng.random((images, len(_COLUMNS)), dtype=np.float32)))


@dataclass(frozen=True)
class AugmentationParams:
    """What is to be done to each image: a row for each, in the order they are shown; None: to none.

    ``warps``: (n, 2, 3), where each place of the new image (-1 to 1) lies in the old one;
    ``matrices`` (n, 3, 3) and ``shifts`` (n, 3, 1): take stored colours to normalised inputs;
    ``erased``: (n, 4), rectangles; ``patches``: (n, 4), rectangles that are cut out of the neighbour;
    ``kept``: (n,), what is left of the image where the neighbour is blended in. Rectangles are left,
    top, width and height, in shares of the image; those of no width are none.
    """

    matrices: torch.Tensor
    shifts: torch.Tensor
    warps: torch.Tensor | None
    erased: torch.Tensor | None
    cutmix_boxes: torch.Tensor | None
    mixup_lambda: torch.Tensor | None

    def __getitem__(self, rows: slice) -> "AugmentationParams":
        return self._each(lambda part: part[rows])

    def to(self, device: torch.device) -> "AugmentationParams":
        """Return them on a device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "AugmentationParams":
        parts = ((field.name, getattr(self, field.name)) for field in fields(self))
        return replace(self, **{name: change(part) for name, part in parts if part is not None})


def sample_augmentations(
    images: int, seed: int, epoch: int, recipe: Augmentation, preprocessing: Preprocessing
) -> AugmentationParams:
    """Draw what is done to the images of an epoch, in the order they are shown."""
    draws = draw_random_numbers(images, seed, epoch)
    matrices, shifts = _color_transforms(draws, recipe, preprocessing)
    patches, kept = _mixing_params(draws, recipe)
    return AugmentationParams(
        matrices=matrices,
        shifts=shifts,
        warps=_affine_matrices(draws, recipe) if _has_geometric_transform(recipe) else None,
        erased=_erased_boxes(draws, recipe) if recipe.random_erasing_prob else None,
        cutmix_boxes=patches,
        mixup_lambda=kept,
    )


def apply_augmentations(
    batch: torch.Tensor, targets: torch.Tensor, augmentations: AugmentationParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn stored images into the inputs of a training step.

    Args:
        batch: (n, 3, size, size) uint8.
        targets: (n, classes), the share of each class.
        augmentations: One row per image.

    Returns:
        float32 (n, 3, size, size), normalised, in channels-last memory order, and the targets that
        belong to them.
    """
    inputs = torch.empty(batch.shape, device=batch.device, memory_format=torch.channels_last)
    step = _CPU_CHUNK_SIZE if batch.device.type == "cpu" else len(batch)
    for first in range(0, len(batch), step):
        rows = slice(first, first + step)
        inputs[rows] = _apply_affine_and_color(batch[rows], augmentations[rows])
    return _apply_mixing(inputs, targets, augmentations)


def _apply_affine_and_color(batch: torch.Tensor, augmentations: AugmentationParams) -> torch.Tensor:
    batch = batch.float()
    if augmentations.warps is not None:
        grid = affine_grid(augmentations.warps, list(batch.shape), align_corners=False)
        batch = grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    # Colour by colour, not pixel by pixel: products of long rows are seven times as fast.
    rows = batch.reshape(len(batch), 3, -1)
    inputs = torch.baddbmm(augmentations.shifts, augmentations.matrices, rows).view(batch.shape)
    if augmentations.erased is not None:
        inputs = inputs.masked_fill(_rectangle_mask(augmentations.erased, inputs.shape[-1]), 0.0)
    return inputs


def _apply_mixing(
    inputs: torch.Tensor, targets: torch.Tensor, augmentations: AugmentationParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend each image with its neighbour, or lay a part of the neighbour over it.

    The order is random, so a neighbour is any image; and pairs stay together when a batch is
    divided between processes.
    """
    if augmentations.mixup_lambda is None or augmentations.cutmix_boxes is None:
        return inputs, targets
    neighbours = torch.arange(len(inputs), device=inputs.device) ^ 1
    neighbours = neighbours.clamp(max=len(inputs) - 1)
    patches = _rectangle_mask(augmentations.cutmix_boxes, inputs.shape[-1]).float()
    share = augmentations.mixup_lambda.view(-1, 1, 1, 1) * (1 - patches)
    kept = share.mean(dim=(1, 2, 3)).to(targets.dtype)[:, None]
    return (
        inputs.lerp(inputs[neighbours], 1 - share),
        targets.lerp(targets[neighbours], 1 - kept),
    )


def _rectangle_mask(rectangles: torch.Tensor, size: int) -> torch.Tensor:
    """Return (n, 1, size, size): true inside each rectangle."""
    left, top, width, height = rectangles[:, :, None].unbind(dim=1)
    centres = (torch.arange(size, device=rectangles.device) + 0.5) / size
    columns = (centres >= left) & (centres < left + width)
    rows = (centres >= top) & (centres < top + height)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _has_geometric_transform(recipe: Augmentation) -> bool:
    return (
        recipe.flips
        or recipe.rotation != "none"
        or recipe.min_crop_area < 1
        or recipe.max_crop_aspect_ratio > 1
    )


def _affine_matrices(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Return (n, 2, 3): where each place of the new image lies in the old one.

    A window of the drawn area and aspect is laid somewhere on the picture, turned about its own
    centre, and mirrored.
    """
    area = draws.between("area", recipe.min_crop_area, 1.0)
    aspect = draws.log_uniform("aspect", recipe.max_crop_aspect_ratio).sqrt()
    width, height = ((area.sqrt() * way).clamp(max=1.0) for way in (aspect, 1 / aspect))
    angle = draws.column("turn")
    if recipe.rotation == "quarter":
        angle = (4 * angle).floor() / 4
    turned = angle * 2 * math.pi if recipe.rotation != "none" else torch.zeros(len(draws))
    cos, sin = turned.cos(), turned.sin()
    mirror, upend = (
        1 - 2 * (draws.column(name) < 0.5).float() * recipe.flips for name in ("mirror", "upend")
    )
    rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    linear = rotation * torch.stack([width * mirror, height * upend], dim=1)[:, None]
    left = draws.between("left", -1, 1) * (1 - width)
    top = draws.between("top", -1, 1) * (1 - height)
    return torch.cat([linear, torch.stack([left, top], dim=1)[:, :, None]], dim=2)


def _color_transforms(
    draws: RandomDraws, recipe: Augmentation, preprocessing: Preprocessing
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix (n, 3, 3) and a shift (n, 3, 1) that take stored colours to changed inputs.

    All changes are linear, so they cost one product, normalising included; what leaves the range
    of colours is not cut off.
    """
    brightness, contrast, saturation = (
        draws.between(name, 1 - share, 1 + share).view(-1, 1, 1)
        for name, share in (
            ("brightness", recipe.brightness),
            ("contrast", recipe.contrast),
            ("saturation", recipe.saturation),
        )
    )
    mean, std = torch.tensor(preprocessing.mean) * 255, torch.tensor(preprocessing.std) * 255
    grey = torch.tensor(_LUMA).expand(3, 3)
    hues = _hue_rotations(draws.between("hue", -recipe.hue, recipe.hue))
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


def _erased_boxes(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Return (n, 4): the rectangle that each image loses."""
    area = draws.between("erased_area", *_ERASED_AREA) * (
        draws.column("erased") < recipe.random_erasing_prob
    )
    aspect = draws.log_uniform("erased_aspect", _ERASED_ASPECT).sqrt()
    width, height = ((area.sqrt() * way).clamp(max=1.0) for way in (aspect, 1 / aspect))
    left = draws.column("erased_left") * (1 - width)
    top = draws.column("erased_top") * (1 - height)
    return torch.stack([left, top, width, height], dim=1)


def _mixing_params(
    draws: RandomDraws, recipe: Augmentation
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the patches (n, 4) of the neighbours, and what is kept (n,) where they are blended in."""
    if not (recipe.mixup_alpha or recipe.cutmix_alpha):
        return None, None
    cut = _uses_cutmix(draws, recipe)
    edge = (1 - _beta(draws, recipe.cutmix_alpha or 1.0)).sqrt() * cut
    left, top = (draws.column(name) * (1 - edge) for name in ("cut_left", "cut_top"))
    kept = torch.where(cut, 1.0, _beta(draws, recipe.mixup_alpha or 1.0))
    return torch.stack([left, top, edge, edge], dim=1), kept


def _uses_cutmix(draws: RandomDraws, recipe: Augmentation) -> torch.Tensor:
    """Say which images are cut into; the others are blended."""
    if recipe.mixup_alpha and recipe.cutmix_alpha:
        return draws.column("mixer") < 0.5
    return torch.full((len(draws),), recipe.cutmix_alpha > 0)


def _beta(draws: RandomDraws, alpha: float) -> torch.Tensor:
    """Return (n,) numbers of the symmetric beta distribution."""
    quantiles = betaincinv(alpha, alpha, draws.column("blend").double().numpy())
    return torch.from_numpy(quantiles).float()
