"""CSV tables of boxes in pixels, one row per box.

The corners are in the columns ``x0,y0,x1,y1`` or ``xmin,ymin,xmax,ymax`` (or similar names). The
columns ``width`` and ``height`` are then the size of the image. Tables with ``x,y,width,height``
have the size of the box instead.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.csv_cells import with_apostrophe, without_apostrophe
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import AnnotationError, number, read_bytes
from skin_lesions.data.annotations.box_table import CORNERS, boxes_by_image
from skin_lesions.data.annotations.boxes import (
    Found,
    PixelBox,
    image_size,
    lesions_of_boxes,
)
from skin_lesions.data.annotations.image_names import ImageNames
from skin_lesions.data.annotations.model import AnnotationProblem
from skin_lesions.data.sources.column_names import KEY_COLUMNS, find_column
from skin_lesions.data.sources.metadata_files import read_table

# Names of x0, y0, x1, y1. The first names that occur in a table are used.
_CORNER_COLUMNS = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
)
_SIZED_COLUMNS = (("x", "y", "width", "height"), ("x", "y", "w", "h"))
_IMAGE_SIZE_COLUMNS = (("width", "height"), ("image_width", "image_height"))
_DECIMALS = 3  # of a pixel
_Row = dict[str, str | None]


@dataclass(frozen=True)
class _Columns:
    """Columns of a table.

    Attributes:
        image: Name of the image.
        box: The four columns of the box.
        is_sized: Whether the box has its width and height in place of x1 and y1.
        image_size: Width and height of the image, or None.
    """

    image: str
    box: tuple[str, ...]
    is_sized: bool
    image_size: tuple[str, ...] | None


def has_box_columns(path: Path) -> bool:
    """Return whether a file is a readable table with the columns of boxes."""
    try:
        columns = _read(path).columns.astype(str)
    except InputError:
        return False
    return _find((*_CORNER_COLUMNS, *_SIZED_COLUMNS), columns) is not None


def read_csv(files: Mapping[str, Path], names: ImageNames) -> Found:
    """Read the boxes of one table. Rows without any corner are images without boxes.

    Raises:
        InputError: The table cannot be parsed, has no column of image names or no columns of boxes,
            or its boxes are fractions instead of pixels.
    """
    ((file, path),) = files.items()
    table = _read(path)
    entries = list(_entries(table, printable(file), _columns(table, path), names))
    boxes = [entry for entry in entries if isinstance(entry, PixelBox)]
    in_first_pixel = all(max(map(abs, box.corners)) <= 1 for box in boxes)
    if in_first_pixel and any(box.area < 1 for box in boxes):
        raise InputError(
            f"No box of the annotation table is larger than one pixel ({printable(path)}). "
            "Expected pixels, not fractions. Fix: multiply them by the size of the image"
        )
    return lesions_of_boxes(entries)


def _read(path: Path) -> pd.DataFrame:
    try:
        read_bytes(path)
    except AnnotationError as error:
        raise InputError(f"Annotation table {error} ({printable(path)})") from None
    try:
        return read_table(path)
    except InputError as error:
        raise InputError(str(error).replace("Metadata table", "Annotation table", 1)) from None


def _find(names: Iterable[tuple[str, ...]], columns: Iterable[str]) -> tuple[str, ...] | None:
    """Return the columns of the first names that all occur, or None."""
    columns = list(columns)
    for group in names:
        found = [find_column((name,), columns) for name in group]
        if None not in found:
            return tuple(column for column in found if column is not None)
    return None


def _columns(table: pd.DataFrame, path: Path) -> _Columns:
    """Return the columns of the images and boxes.

    Raises:
        InputError: They are missing.
    """
    columns = [str(column) for column in table]
    image = find_column(KEY_COLUMNS, columns)
    corners = _find(_CORNER_COLUMNS, columns)
    box = corners or _find(_SIZED_COLUMNS, columns)
    if image is None or box is None:
        missing = "image names (image)" if image is None else "boxes (x0, y0, x1, y1)"
        raise InputError(
            f"Annotation table has no columns of {missing} ({printable(path)}). Its columns are "
            f"{', '.join(map(printable, columns[:12]))}. Fix: rename them"
        )
    others = [column for column in columns if column not in box]
    return _Columns(image, box, corners is None, _find(_IMAGE_SIZE_COLUMNS, others))


def _entries(
    table: pd.DataFrame, file: str, columns: _Columns, names: ImageNames
) -> Iterator[PixelBox | AnnotationProblem]:
    """Yield the box or the problem of each row.

    Args:
        table: Cells as text; None if empty.
        file: Name of the table, for problems.
        columns: Columns of the images and boxes.
        names: The images.
    """
    keys = table.columns.astype(str)
    for index, cells in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        row: _Row = dict(zip(keys, cells, strict=True))
        place = f"{file}, line {index + 2}"  # the header is line 1, and the index starts at 0
        try:
            box = _parse(row, place, columns, names)
        except AnnotationError as error:
            yield AnnotationProblem(place, str(error))
        else:
            if box is not None:
                yield box


def _parse(row: _Row, place: str, columns: _Columns, names: ImageNames) -> PixelBox | None:
    """Return the box of a row, or None if the row is blank or has no corners.

    Raises:
        AnnotationError: The image is unknown, or a value is missing or not a number.
    """
    if not any(row.values()):
        return None
    name = row[columns.image]
    if name is None:
        raise AnnotationError("the name of the image is missing")
    image = names.find(without_apostrophe(name))
    if not any(row[column] for column in columns.box):
        return None
    a, b, c, d = (number(row[column], column) for column in columns.box)
    corners = (a, b, a + c, b + d) if columns.is_sized else (a, b, c, d)
    if columns.image_size is None or not any(row[column] for column in columns.image_size):
        return PixelBox(place, image, corners)
    width, height = (number(row[column], column) for column in columns.image_size)
    return PixelBox(place, image, corners, image_size(width, height))


def write_csv(boxes: pd.DataFrame, path: Path) -> None:
    """Write boxes in pixels as CSV, with three decimals. ``read_annotations`` can read the table.

    Args:
        boxes: Table as for ``boxes_by_image``.
        path: The new file; an existing one is replaced.

    Raises:
        ValueError: A box is invalid, see ``boxes_by_image``.
    """
    scores = ["score"] if "score" in boxes else []
    rows: list[dict[str, object]] = []
    for entry in boxes_by_image(boxes):
        image = {
            "file": with_apostrophe(entry.file),
            "width": entry.width,
            "height": entry.height,
        }
        for i, corners in enumerate(entry.pixels(_DECIMALS)):
            named = dict(zip(CORNERS, corners.tolist(), strict=True))
            rows.append(image | named | {"score": entry.score_of(i)})
        if not len(entry.boxes):
            rows.append(dict(image))
    columns = ["file", "width", "height", *CORNERS, *scores]
    with atomic_write(path) as partial:
        # Excel recognizes UTF-8 only by the byte order mark at the start of the file.
        pd.DataFrame(rows, columns=columns).to_csv(
            partial, index=False, quoting=csv.QUOTE_MINIMAL, encoding="utf-8-sig"
        )
