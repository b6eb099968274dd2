"""Images without the lesion, or with only the lesion. This module imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from skin_lesions.data.loader import ImageDataset
from skin_lesions.models.localization.lesions import Lesion

Square = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Alteration = Literal["without_lesion", "only_lesion"]

# Boxes are enlarged by this fraction of their width and height, because the color of many lesions
# fades into the skin.
ENLARGEMENT = 0.1
# Averaging steps at each resolution of the inpainting. Without them, the corners of a filled box
# are visible in images with dark corners. The fill takes 16 ms per image of 224 pixels.
_SMOOTHING_STEPS = 10
_NEIGHBORS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


@dataclass(frozen=True, kw_only=True)
class AlteredImages(ImageDataset):
    """A dataset whose images lose the lesion, or everything else, when they are read.

    The stored squares are altered before the crop and the resize.

    Attributes:
        lesions: The lesions of each image, (n,).
        alteration: ``without_lesion`` or ``only_lesion``.
    """

    lesions: Sequence[Lesion]
    alteration: Alteration

    @classmethod
    def of(
        cls, images: ImageDataset, *, lesions: Sequence[Lesion], alteration: Alteration
    ) -> "AlteredImages":
        """Return a dataset with altered copies of these images."""
        return cls(**vars(images), lesions=lesions, alteration=alteration)

    def _load_resized(self, positions: npt.NDArray[np.int64]) -> torch.Tensor:
        squares = self.images.read(self.rows[positions])  # (n, size, size, 3)
        for square, position in zip(squares, positions, strict=True):
            inside = lesion_pixels(self.lesions[position], len(square))
            if self.alteration == "only_lesion":
                square[:] = only_lesion(square, inside)
            elif inside.all():
                # Nothing remains to fill it from: the mean color of the normalization, which the
                # network receives as 0.
                square[:] = np.rint(255 * np.array(self.preprocessing.mean))
            else:
                square[:] = inpaint(square, inside)
        return self._resize(squares, positions)


def lesion_pixels(lesion: Lesion, size: int) -> Bools:
    """Return the pixels of a square that the enlarged boxes of its lesions touch, (size, size)."""
    inside = np.zeros((size, size), np.bool_)
    margin = (lesion.boxes[:, 2:] - lesion.boxes[:, :2]) * ENLARGEMENT / 2  # (boxes, 2)
    start = np.floor((lesion.boxes[:, :2] - margin) * size).clip(min=0).astype(int)
    end = np.ceil((lesion.boxes[:, 2:] + margin) * size).astype(int)
    for (x0, y0), (x1, y1) in zip(start, end, strict=True):
        inside[y0:y1, x0:x1] = True
    return inside


def inpaint(square: Square, hidden: Bools) -> Square:
    """Fill hidden pixels smoothly from the pixels around them.

    The fill approximately solves the Laplace equation, from coarse to fine. It has no edge at the
    border of the hidden pixels. A constant color would show the outline of the box, and so the
    size of the lesion, wherever the color of the skin varies.

    Args:
        square: (size, size, 3). It is not changed.
        hidden: (size, size), at least one pixel is not hidden. Their colors are not used.

    Returns:
        (size, size, 3); pixels that are not hidden are the same.

    Raises:
        ValueError: All pixels are hidden.

    Source:
        Pérez, Gangnet and Blake (2003), doi:10.1145/882262.882269: interpolation with zero
        guidance.
    """
    if hidden.all():
        raise ValueError(
            f"All {hidden.size:,} pixels are hidden. Expected at least one with a known color."
        )
    # Colors and known pixels at size, size / 2, size / 4 ..., until all are known.
    levels = [(np.where(hidden[..., None], np.float32(0), square.astype(np.float32)), ~hidden)]
    while not levels[-1][1].all():
        colors, known = levels[-1]
        half = ((len(known) + 1) // 2,) * 2
        weight = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
        sums = cv2.resize(colors, half, interpolation=cv2.INTER_AREA)
        known = weight > 0
        # Mean color of the known pixels; unknown ones stay 0.
        levels.append((sums / np.where(known, weight, 1)[..., None], known))
    filled = levels.pop()[0]
    for colors, known in reversed(levels):
        shape = (len(known),) * 2
        filled = cv2.resize(filled, shape, interpolation=cv2.INTER_LINEAR).reshape(colors.shape)
        filled = np.where(known[..., None], colors, filled)
        for _ in range(_SMOOTHING_STEPS):
            # Jacobi iteration: each unknown pixel becomes the mean of its four neighbors.
            means = cv2.filter2D(filled, -1, _NEIGHBORS, borderType=cv2.BORDER_REPLICATE)
            filled = np.where(known[..., None], colors, means)
    return np.rint(filled).astype(np.uint8)


def only_lesion(square: Square, inside: Bools) -> Square:
    """Replace the pixels that are not inside by their mean color.

    Args:
        square: (size, size, 3). It is not changed.
        inside: (size, size).
    """
    altered = square.copy()
    if not inside.all():
        altered[~inside] = np.rint(square[~inside].mean(axis=0)).astype(np.uint8)
    return altered
