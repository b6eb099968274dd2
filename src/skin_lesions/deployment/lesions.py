"""Lesions in new images: the interface of localizers, with or without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from skin_lesions.models.localization.boxes import Localization

_DECIMALS = 1  # of coordinates in pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class LesionInput:
    """An image as the input of a localizer.

    Attributes:
        pixels: (image_size, image_size, 3) uint8, RGB; the complete image, stretched to a square.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.
    """

    pixels: npt.NDArray[np.uint8]
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundLesions:
    """The lesions that were found in one image.

    Attributes:
        localization: Boxes as fractions, scores and soft mask; the main lesion is the first one.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.
    """

    localization: Localization
    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width divided by height of the image."""
        return self.width / self.height

    @property
    def main_box(self) -> npt.NDArray[np.float64]:
        """Box of the main lesion, (4,), fractions."""
        return self.localization.boxes[0]

    @property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Corners x0, y0, x1, y1 of each box in pixels, (k, 4), rounded to 0.1."""
        sides = (self.width, self.height, self.width, self.height)
        return np.round(self.localization.boxes * sides, _DECIMALS)


class LesionFinder(Protocol):
    """A localizer that is ready for new images."""

    @property
    def version(self) -> str:
        """Return the version of the localizer in the catalog."""

    def read(self, data: bytes) -> LesionInput:
        """Decode an image file.

        Raises:
            UnreadableImageError: The message is the reason.
        """

    def find(self, images: Sequence[LesionInput]) -> list[FoundLesions]:
        """Return the lesions of each image; at least one box for each."""
