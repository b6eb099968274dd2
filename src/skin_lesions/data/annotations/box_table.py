"""Table of boxes, as the writers of all formats get it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

CORNERS = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """Boxes of one image.

    Attributes:
        file: Path relative to the source folder.
        width: Width of the image, pixels.
        height: Height of the image, pixels.
        boxes: (n, 4) fractions, as in ``Lesions``; n can be 0.
        scores: (n,) scores, or None.
    """

    file: str
    width: int
    height: int
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64] | None

    def pixels(self, decimals: int) -> NDArray[np.float64]:
        """Return x0, y0, x1, y1 in pixels, (n, 4), rounded to a number of decimals.

        Halves are rounded up. A box of at least one pixel is therefore never empty.
        """
        step = 10.0**decimals
        corners = self.boxes * (self.width, self.height, self.width, self.height)
        # Without 1e-9, a half that floating-point arithmetic makes smaller would be rounded down.
        return np.floor(corners * step + 0.5 + 1e-9) / step

    def score_of(self, index: int) -> float | None:
        """Return the score of a box, rounded to 6 decimals, or None."""
        return None if self.scores is None else round(float(self.scores[index]), 6)


def boxes_by_image(boxes: pd.DataFrame) -> Iterator[ImageBoxes]:
    """Yield the boxes of each image, in the order of the table.

    Args:
        boxes: One row per box with the columns file, width, height (pixels), x0, y0, x1, y1
            (fractions) and optionally score. A row without corners (NaN) is an image without boxes.

    Raises:
        ValueError: A box is incomplete, empty or outside of the image, or has no score, or an image
            has two sizes.
    """
    _check(boxes)
    corners = boxes[CORNERS].to_numpy(np.float64)  # (rows, 4)
    is_box = ~np.isnan(corners[:, 0])
    scores = boxes["score"].to_numpy(np.float64) if "score" in boxes else None
    sizes = boxes[["width", "height"]].to_numpy(np.int64)
    rows_of = boxes.reset_index(drop=True).groupby("file", sort=False).indices
    for file in boxes["file"].unique():
        rows = rows_of[file]
        width, height = sizes[rows[0]].tolist()
        rows = rows[is_box[rows]]
        yield ImageBoxes(
            file=str(file),
            width=width,
            height=height,
            boxes=corners[rows],
            scores=None if scores is None else scores[rows],
        )


def _check(boxes: pd.DataFrame) -> None:
    """Check the rows of a table.

    Raises:
        ValueError: As for ``boxes_by_image``.
    """
    files = boxes["file"].astype(str).to_numpy()
    sized = boxes[["file", "width", "height"]].drop_duplicates()["file"]
    if sized.duplicated().any():
        file = sized[sized.duplicated()].iloc[0]
        raise ValueError(f"Rows of {file} have different sizes. Expected the size of the image")
    corners = boxes[CORNERS].to_numpy(np.float64)  # (rows, 4)
    is_box = ~np.isnan(corners).all(axis=1)
    # Comparisons with NaN are False, so incomplete boxes are not valid.
    is_valid = (corners >= 0).all(axis=1) & (corners <= 1).all(axis=1)
    is_valid &= (corners[:, 2:] > corners[:, :2]).all(axis=1)
    if (is_box & ~is_valid).any():
        file = files[is_box & ~is_valid][0]
        raise ValueError(f"Boxes of {file} are not fractions with x0 < x1 and y0 < y1")
    if "score" in boxes:
        lacks_score = is_box & ~np.isfinite(boxes["score"].to_numpy(np.float64))
        if lacks_score.any():
            raise ValueError(f"A score of {files[lacks_score][0]} is missing. Expected one per box")


def write_file_per_image(
    boxes: pd.DataFrame, folder: Path, suffix: str, content: Callable[[ImageBoxes], bytes]
) -> None:
    """Write a file per image, in the folders of the images; an error leaves no folder.

    Args:
        boxes: Table as for ``boxes_by_image``.
        folder: New or empty folder.
        suffix: Suffix of the files.
        content: Function that returns the content of the file of an image.

    Raises:
        InputError: The folder is not empty, or two images would share a file.
        ValueError: A box or the path of an image is invalid.
    """
    entries = list(boxes_by_image(boxes))
    check_distinct_stems([entry.file for entry in entries])
    check_is_new_folder(folder)
    with atomic_write(folder) as partial:
        partial.mkdir()
        for entry in entries:
            path = text_path(partial, entry.file, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(entry))


def text_path(folder: Path, file: str, suffix: str) -> Path:
    """Return the path of the text file of an image, with the folders of the image.

    Raises:
        ValueError: The path of the image is absolute or leads out of the folder.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file:
        raise ValueError(f"Image path {file!r} is not a relative path with forward slashes")
    return folder / path.with_suffix(suffix)


def check_distinct_stems(files: list[str]) -> None:
    """Check that no two images would share a text file.

    Raises:
        InputError: Two images differ only in their suffix or case.
    """
    first: dict[str, str] = {}
    for file in files:
        key = str(PurePosixPath(file).with_suffix("")).casefold()
        if key in first:
            raise InputError(
                f"Two images would share a text file ({printable(first[key])}, {printable(file)}). "
                "Fix: write COCO or CSV, which have complete file names, or rename an image"
            )
        first[key] = file


def check_is_new_folder(path: Path) -> None:
    """Check that a folder can be written, and remove an empty one.

    Raises:
        InputError: The path is a file, or a folder with content.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"Output folder exists and is not empty ({path}). Expected a new or empty folder. "
            "Fix: choose another folder"
        )
    if path.is_dir():
        path.rmdir()  # not every system replaces an empty folder by a rename
