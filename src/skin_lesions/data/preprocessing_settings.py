"""Settings of the preprocessing, saved in the model file. Importing them does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Crop = tuple[tuple[int, int], tuple[int, int]]  # (start, stop) of the rows and of the columns

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Settings that convert a stored square into a network input.

    Attributes:
        resize_mode: ``stretch`` uses the complete square; ``center_crop`` uses the central square
            of the original image, with the original aspect ratio.
        stored_image_size: Width and height of the stored squares, pixels.
        image_size: Width and height of the network input, pixels.
        mean, std: Mean and standard deviation of each channel (RGB), for values from 0 to 1.
        lesion_margin: The input is a crop around the main lesion, with this margin on each side as
            a fraction of the longer side of its box; ``resize_mode`` is not used. None: no crop.
    """

    resize_mode: Literal["stretch", "center_crop"]
    stored_image_size: int
    image_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    lesion_margin: float | None = None

    def crop(self, aspect: float, box: Sequence[float] | None = None) -> Crop:
        """Return the (start, stop) rows and columns of a stored square that become the input.

        The stored square is a stretched image. The central square of the original image is
        therefore a rectangle in it: a wide image loses columns, a tall image loses rows.

        Args:
            aspect: Width divided by height of the original image.
            box: Main lesion, x0, y0, x1, y1 as fractions of the image; only used, and required,
                with ``lesion_margin``.

        Raises:
            ValueError: There is a margin, but no box.
        """
        size = self.stored_image_size
        if self.lesion_margin is not None:
            if box is None:
                raise ValueError("A crop around the lesion requires its box")
            return _crop_around(box, self.lesion_margin, aspect, size)
        if self.resize_mode == "stretch":
            return (0, size), (0, size)
        height = max(1, round(size * min(1.0, aspect)))
        width = max(1, round(size * min(1.0, 1 / aspect)))
        top, left = (size - height) // 2, (size - width) // 2
        return (top, top + height), (left, left + width)


def _crop_around(box: Sequence[float], margin: float, aspect: float, size: int) -> Crop:
    """Return a square of the original image around a box, in pixels of its stored square.

    The crop is moved inside of the image. It is a rectangle only if the square is larger than the
    image, so that no part of the box is lost.
    """
    x0, y0, x1, y1 = box
    side = (1 + 2 * margin) * max((x1 - x0) * aspect, y1 - y0)  # heights of the image

    def interval(center: float, length: float) -> tuple[int, int]:
        pixels = min(size, max(1, round(length * size)))
        start = min(size - pixels, max(0, round(center * size - pixels / 2)))
        return start, start + pixels

    return interval((y0 + y1) / 2, side), interval((x0 + x1) / 2, side / aspect)
