"""Preprocessing of stored images into network inputs: resize, center crop and normalization.

Training, evaluation and prediction use the same code.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from skin_lesions.data.preprocessing_settings import Preprocessing


def resize_batch(
    squares: npt.NDArray[np.uint8],
    aspects: Sequence[float],
    preprocessing: Preprocessing,
    boxes: npt.NDArray[np.float64] | None = None,
) -> torch.Tensor:
    """Resize stored squares to the input size.

    Args:
        squares: (n, stored_image_size, stored_image_size, 3).
        aspects: Width divided by height of each original image.
        preprocessing: Image sizes, and resize mode or margin of the lesion.
        boxes: Main lesion of each image, (n, 4) fractions; required with a margin.

    Returns:
        (n, 3, image_size, image_size) uint8, in channels-last memory format.
    """
    batch = torch.from_numpy(squares).permute(0, 3, 1, 2)  # (n, 3, height, width)
    size = preprocessing.image_size
    if preprocessing.lesion_margin is None and preprocessing.resize_mode == "stretch":
        return _resize(batch, size)
    of_image = [None] * len(batch) if boxes is None else boxes.tolist()
    crops = [preprocessing.crop(*pair) for pair in zip(aspects, of_image, strict=True)]
    resized = torch.empty(
        (len(batch), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last
    )
    for rows, columns in set(
        crops
    ):  # few distinct crops: most images of a dataset have the same aspect ratio
        members = [i for i, crop in enumerate(crops) if crop == (rows, columns)]
        cropped = batch[members][:, :, rows[0] : rows[1], columns[0] : columns[1]]
        resized[members] = _resize(cropped, size)
    return resized


def _resize(batch: torch.Tensor, size: int) -> torch.Tensor:
    if batch.shape[-2:] == (size, size):
        return batch
    return interpolate(batch, (size, size), mode="bilinear", antialias=True)


def normalize_batch(batch: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Convert uint8 (n, 3, size, size) to float32, normalized: ``(batch - mean) / std``."""
    mean, std = (
        _channel_tensor(values, batch.device) for values in (preprocessing.mean, preprocessing.std)
    )
    return batch.to(torch.float32, copy=True).sub_(mean).div_(std)


@cache
def _channel_tensor(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return (1, channels, 1, 1), scaled from 0..1 to 0..255.

    The tensor is cached, because each copy to a GPU would synchronize with the host.
    """
    return torch.tensor(values, device=device).view(1, -1, 1, 1) * 255
