"""Annotated lesions: boxes and masks, their coverage of a grid, and the overlap of two boxes.

A box is ``(x0, y0, x1, y1)`` in fractions of the width and height of the image. x is to the right
and y is down. A stretched image therefore has the same boxes as the original image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.errors import InputError

FloatArray = npt.NDArray[np.float64]
IMAGE_BOX = (0.0, 0.0, 1.0, 1.0)  # the complete image


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """The annotated lesions of one image.

    Attributes:
        boxes: (k, 4) with k >= 1, fractions.
        mask: (height, width), True or 1 inside of the lesions, of any size; None if the image has
            only boxes.
    """

    boxes: FloatArray
    mask: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        boxes = self.boxes
        is_valid = (
            boxes.ndim == 2
            and boxes.shape[0] >= 1
            and boxes.shape[1] == 4
            and bool(np.all((boxes >= 0) & (boxes <= 1)))
            and bool(np.all(boxes[:, :2] < boxes[:, 2:]))
        )
        if not is_valid:
            raise InputError(
                f"The boxes of a lesion are {boxes.tolist()}. Expected rows x0, y0, x1, y1 with "
                "0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1. Fix: divide pixels by the image size"
            )
        if self.mask is not None and (self.mask.ndim != 2 or not self.mask.any()):
            raise InputError(
                f"The mask of a lesion has shape {self.mask.shape} and {np.sum(self.mask)} pixels "
                "inside. Expected a 2-D array with at least 1. Fix: remove this mask"
            )

    @property
    def main_box(self) -> FloatArray:
        """The largest box, (4,)."""
        return self.boxes[np.argmax(box_areas(self.boxes))]

    def coverage(self, size: int) -> npt.NDArray[np.float32]:
        """Return the fraction of each cell of a size x size grid that the lesions cover.

        The mask is used if there is one, otherwise the inside of all boxes.
        """
        if self.mask is not None:
            mask = self.mask.astype(np.float32)
            return np.asarray(
                cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA), dtype=np.float32
            )
        return np.max([box_coverage(box, size) for box in self.boxes], axis=0)


def box_coverage(box: Sequence[float] | FloatArray, size: int) -> npt.NDArray[np.float32]:
    """Return the fraction of each cell of a size x size grid that a box covers, (size, size)."""
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64) * size
    cells = np.arange(size)

    def covered(low: float, high: float) -> FloatArray:
        return np.clip(np.minimum(cells + 1, high) - np.maximum(cells, low), 0, None)

    return np.outer(covered(y0, y1), covered(x0, x1)).astype(np.float32)


def box_areas(boxes: FloatArray) -> FloatArray:
    """Return the areas of boxes (..., 4) as fractions of the image, (...)."""
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the intersection over union of boxes (..., 4) in pairs, (...) from 0 to 1."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    intersection = np.prod(np.clip(high - low, 0, None), axis=-1)
    return intersection / (box_areas(first) + box_areas(second) - intersection)
