"""Annotated lesions of images: boxes, masks, and the annotations that cannot be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import AnnotationError
from skin_lesions.data.annotations.masks import Mask, read_mask

Format = Literal["masks", "yolo", "coco", "voc", "csv"]


@dataclass(frozen=True, eq=False)
class Lesions:
    """Annotated lesions of one image.

    Attributes:
        boxes: (n, 4) with n at least 1: left, top, right and bottom edge as fractions of the width
            and height of the upright image, 0 to 1. The right edge of a box that ends with the last
            pixel column is 1. Read-only.
        mask_path: Mask of all lesions, or None if only boxes are annotated.
    """

    boxes: NDArray[np.float64]
    mask_path: Path | None = None

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
            raise ValueError(f"Boxes have the shape {boxes.shape}. Expected (n, 4), n at least 1")
        inside = (boxes >= 0).all() and (boxes <= 1).all()  # False for NaN
        if not inside or (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError("Boxes must be fractions with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
        boxes.flags.writeable = False
        object.__setattr__(self, "boxes", boxes)

    def read_mask(self) -> Mask:
        """Return the mask, (height, width). Its resolution can differ from that of the image.

        Raises:
            ValueError: The lesions have no mask.
            InputError: The file is no longer a readable mask.
        """
        if self.mask_path is None:
            raise ValueError("These lesions have boxes, but no mask. Expected mask_path to be set")
        try:
            return read_mask(self.mask_path)
        except AnnotationError as error:
            raise InputError(
                f"Mask cannot be used ({printable(self.mask_path)}): {error}. "
                "Fix: restore the file, then read the annotations again"
            ) from None


@dataclass(frozen=True)
class AnnotationProblem:
    """An annotation that cannot be used.

    Attributes:
        place: File relative to the annotations, with the line or the number of the annotation.
        reason: Why the annotation cannot be used.
    """

    place: str
    reason: str


@dataclass(frozen=True)
class Annotations:
    """Annotations of the images of an image table.

    Attributes:
        format: Format of the files.
        lesions: Lesions of each annotated image, by its column ``file``, in the order of the table.
        problems: All annotations that cannot be used.
        without: Files of the other images of the table.
    """

    format: Format
    lesions: dict[str, Lesions]
    problems: tuple[AnnotationProblem, ...]
    without: tuple[str, ...]
