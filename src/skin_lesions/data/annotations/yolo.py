"""YOLO text files, one per image: ``class cx cy width height``, as fractions of the image.

A sixth number is the score of a detection. The class is not used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import (
    MAX_TEXT_BYTES,
    AnnotationError,
    number,
    read_text,
    shortened,
)
from skin_lesions.data.annotations.box_table import ImageBoxes, write_file_per_image
from skin_lesions.data.annotations.boxes import Found, PixelBox, lesions_of_boxes
from skin_lesions.data.annotations.image_names import ImageNames, TableImage
from skin_lesions.data.annotations.model import AnnotationProblem

IGNORED = frozenset({"classes.txt"})
_NAMES = ("class", "cx", "cy", "width", "height", "score")
# Corners are rounded to multiples of 2e-6. Center and size then have exactly six decimals, and
# reading them gives the same corners.
_STEPS = 500_000


def read_yolo(files: Mapping[str, Path], names: ImageNames) -> Found:
    """Read the boxes of the text files of a folder. An empty file is an image without boxes."""
    return lesions_of_boxes(
        entry for file, path in files.items() for entry in _entries(file, path, names)
    )


def _entries(file: str, path: Path, names: ImageNames) -> Iterator[PixelBox | AnnotationProblem]:
    """Yield the box or the problem of each line of a file."""
    try:
        image = names.find(str(PurePosixPath(file).with_suffix("")))
        lines = read_text(path, MAX_TEXT_BYTES).splitlines()
    except AnnotationError as error:
        yield AnnotationProblem(printable(file), str(error))
        return
    for index, line in enumerate(lines, start=1):
        place = f"{printable(file)}, line {index}"
        if line.strip():
            try:
                yield _parse(line, place, image)
            except AnnotationError as error:
                yield AnnotationProblem(place, str(error))


def _parse(line: str, place: str, image: TableImage) -> PixelBox:
    """Return the box of a line.

    Raises:
        AnnotationError: The line does not have five or six numbers, or they are no fractions.
    """
    cells = line.split()
    if len(cells) not in (5, 6):
        raise AnnotationError(
            f"{len(cells)} values; expected class cx cy width height ({shortened(line)})"
        )
    values = [number(cell, name) for cell, name in zip(cells, _NAMES, strict=False)]
    _, cx, cy, width, height, *_ = values
    if max(cx, cy, width, height) > 2:  # a box that is only partly outside has smaller numbers
        raise AnnotationError(f"pixels instead of fractions of 0 to 1 ({shortened(line)})")
    corners = (
        (cx - width / 2) * image.width,
        (cy - height / 2) * image.height,
        (cx + width / 2) * image.width,
        (cy + height / 2) * image.height,
    )
    return PixelBox(place, image, corners)


def write_yolo(boxes: pd.DataFrame, folder: Path) -> None:
    """Write a text file per image, in the folders of the images. All boxes have class 0.

    Args:
        boxes: Table as for ``boxes_by_image``. An image without boxes gets an empty file.
        folder: New or empty folder.

    Raises:
        InputError: The folder is not empty, or two images would share a text file.
        ValueError: A box is invalid, see ``boxes_by_image``.
    """
    write_file_per_image(boxes, folder, ".txt", lambda entry: "".join(_lines(entry)).encode())


def _lines(entry: ImageBoxes) -> Iterator[str]:
    for i, corners in enumerate((entry.boxes * _STEPS).round() / _STEPS):
        x0, y0, x1, y1 = corners.tolist()
        values = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
        score = entry.score_of(i)
        cells = [f"{value:.6f}" for value in (values if score is None else [*values, score])]
        yield f"0 {' '.join(cells)}\n"
