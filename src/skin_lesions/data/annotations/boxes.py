"""Validation of annotated boxes, and their conversion from pixels to fractions."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skin_lesions.data.annotations.annotation_files import AnnotationError
from skin_lesions.data.annotations.image_names import TableImage
from skin_lesions.data.annotations.masks import check_aspect
from skin_lesions.data.annotations.model import AnnotationProblem, Lesions

MAX_OUTSIDE = 1.0  # pixels; a box that crosses the edge by at most this much is clipped
Found = tuple[dict[str, Lesions], list[AnnotationProblem]]


@dataclass(frozen=True)
class PixelBox:
    """A box as it is annotated.

    Attributes:
        place: File and line of the box, for problems.
        image: The image.
        corners: x0, y0, x1, y1 in pixels. The edges of the first pixel are 0 and 1.
        size: Width and height of the image that the box was drawn in, or None if unknown. It can
            be another resolution of the image.
    """

    place: str
    image: TableImage
    corners: tuple[float, float, float, float]
    size: tuple[float, float] | None = None

    @property
    def area(self) -> float:
        """Area in square pixels; negative if the box is inverted."""
        x0, y0, x1, y1 = self.corners
        return (x1 - x0) * (y1 - y0)


def image_size(width: float, height: float) -> tuple[float, float]:
    """Return the size of an image that an annotation contains.

    Raises:
        AnnotationError: It is not positive.
    """
    if min(width, height) <= 0:
        raise AnnotationError(f"the size of the image is not positive ({width:g} x {height:g})")
    return width, height


def lesions_of_boxes(entries: Iterable[PixelBox | AnnotationProblem]) -> Found:
    """Return the lesions of each image, and all problems.

    Args:
        entries: Boxes, and the problems of a reader.
    """
    boxes: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    problems = []
    for entry in entries:
        if isinstance(entry, AnnotationProblem):
            problems.append(entry)
            continue
        try:
            boxes[entry.image.file].append(_fractions(entry))
        except AnnotationError as error:
            problems.append(AnnotationProblem(entry.place, str(error)))
    # A failed box may leave an empty list.
    return {file: Lesions(np.array(found)) for file, found in boxes.items() if found}, problems


def _fractions(box: PixelBox) -> NDArray[np.float64]:
    """Return x0, y0, x1, y1 as fractions, (4,).

    Raises:
        AnnotationError: The box is empty, inverted, outside of the image, or made for an image of
            another shape.
    """
    width, height = box.size or (box.image.width, box.image.height)
    check_aspect(width, height, box.image)
    x0, y0, x1, y1 = box.corners
    text = f"({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"
    if x1 <= x0 or y1 <= y0:
        kind = "empty" if x1 == x0 or y1 == y0 else "inverted"
        raise AnnotationError(f"{kind} box: {text}")
    if max(-x0, -y0, x1 - width, y1 - height) > MAX_OUTSIDE:
        raise AnnotationError(
            f"box outside of the image: {text}, the image has {width:g} x {height:g} pixels"
        )
    scaled = np.array(box.corners) / (width, height, width, height)
    clipped = scaled.clip(0, 1)
    if (clipped[2:] <= clipped[:2]).any():
        raise AnnotationError(f"box outside of the image: {text}")
    return clipped
