"""Stored squares -> what a network takes in. The same code serves training, evaluation and prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a stored square becomes an input; travels in the model file.

    Attributes:
        resize_mode: ``stretch`` keeps the square as it is; ``center_crop`` takes the centre of the picture, cut to
            a square in its true aspect.
        stored_image_size: Edge of the stored squares, pixels.
        image_size: Edge of the input, pixels.
        mean, std: Per channel (RGB), of values from 0 to 1.
    """

    resize_mode: Literal["stretch", "center_crop"]
    stored_image_size: int
    image_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @classmethod
    def from_model(cls, saved: Mapping[str, Any]) -> "Preprocessing":
        """Read it back from a model file."""
        values = {**saved, "mean": tuple(saved["mean"]), "std": tuple(saved["std"])}
        return cls(**values)

    def to_model(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def resize_batch(
    squares: npt.NDArray[np.uint8], aspects: Sequence[float], preprocessing: Preprocessing
) -> torch.Tensor:
    """Fit squares to the input size.

    Args:
        squares: (n, stored_image_size, stored_image_size, 3).
        aspects: Width over height of each original picture.
        preprocessing: Size and fit.

    Returns:
        (n, 3, image_size, image_size) uint8, in channels-last memory order.
    """
    batch = torch.from_numpy(squares).permute(0, 3, 1, 2)
    size = preprocessing.image_size
    if preprocessing.resize_mode == "stretch":
        return _scaled(batch, size)
    crops = [_center_crop(aspect, preprocessing.stored_image_size) for aspect in aspects]
    fitted = torch.empty(
        (len(batch), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last
    )
    for rows, columns in set(crops):  # few: most pictures of a set share their aspect
        members = [i for i, crop in enumerate(crops) if crop == (rows, columns)]
        part = batch[members][:, :, rows[0] : rows[1], columns[0] : columns[1]]
        fitted[members] = _scaled(part, size)
    return fitted


def _scaled(batch: torch.Tensor, size: int) -> torch.Tensor:
    if batch.shape[-2:] == (size, size):
        return batch
    return interpolate(batch, (size, size), mode="bilinear", antialias=True)


def _center_crop(aspect: float, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and columns of a squashed picture that show its central square."""
    kept_rows = max(1, round(size * min(1.0, aspect)))
    kept_columns = max(1, round(size * min(1.0, 1 / aspect)))
    top, left = (size - kept_rows) // 2, (size - kept_columns) // 2
    return (top, top + kept_rows), (left, left + kept_columns)


def normalize_batch(batch: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Turn uint8 (n, 3, size, size) into float32 with the mean and deviation of the recipe."""
    mean, std = (
        _channel_tensor(part, batch.device) for part in (preprocessing.mean, preprocessing.std)
    )
    return batch.to(torch.float32, copy=True).sub_(mean).div_(std)


@cache
def _channel_tensor(shares: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return a number per channel, of values from 0 to 255; made once, since a GPU waits for it."""
    return torch.tensor(shares, device=device).view(1, -1, 1, 1) * 255
