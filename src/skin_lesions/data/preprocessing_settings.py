"""Settings of the preprocessing, saved in the model file. Importing them does not import torch."""

from dataclasses import dataclass
from typing import Literal

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
    """

    resize_mode: Literal["stretch", "center_crop"]
    stored_image_size: int
    image_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def crop(self, aspect: float) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the (start, stop) rows and columns of a stored square that become the input.

        The stored square is a stretched image. The central square of the original image is
        therefore a rectangle in it: a wide image loses columns, a tall image loses rows.

        Args:
            aspect: Width divided by height of the original image.
        """
        size = self.stored_image_size
        if self.resize_mode == "stretch":
            return (0, size), (0, size)
        height = max(1, round(size * min(1.0, aspect)))
        width = max(1, round(size * min(1.0, 1 / aspect)))
        top, left = (size - height) // 2, (size - width) // 2
        return (top, top + height), (left, left + width)
