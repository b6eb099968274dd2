"""Files that can be read but hardly be what they should: blank, black, white, tiny, stretched."""

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.audit.finding import Finding, pluralize
from skin_lesions.core.parallel import ordered_map

if TYPE_CHECKING:  # it imports torch, which takes seconds
    from skin_lesions.data.pixel_store import PixelArray

# Grey levels of 0 to 255. Of 6,500 dermoscopic images the flattest has a spread of 6.9 and the
# means lie between 76 and 240; of the darkest generated skin the mean is 40.
MIN_STD = 2.0
DARK_LEVEL, LIGHT_LEVEL = 20.0, 245.0
MIN_SIZE = 64  # pixels, shorter edge: less than any network is fed
MAX_ASPECT_RATIO = 3.0  # longer edge over shorter: squashed to a square, a lesion becomes a line
_LINES = 16  # rows of pixels looked at in each image; what seems blank is looked at as a whole
_BATCH = 64  # images


def find_low_quality_images(image_table: pd.DataFrame, images: "PixelArray") -> list[Finding]:
    """List the files that are blank, nearly black or white, tiny, or very long.

    Args:
        image_table: One row per readable file; columns file, image_id, width, height (pixels).
        images: The decoded images, squashed to squares.

    Returns:
        One finding per fault, with the files as examples; those that count nothing included.

    Raises:
        InputError: Some images are not decoded at this size.
    """
    table = image_table.sort_values("file")
    brightness, spread = _brightness_and_contrast(images, images.rows(table["image_id"]))
    blank = spread < MIN_STD
    black, white = ~blank & (brightness < DARK_LEVEL), ~blank & (brightness > LIGHT_LEVEL)
    width, height = table["width"].to_numpy(), table["height"].to_numpy()
    short, long = np.minimum(width, height), np.maximum(width, height)
    sizes = [f"{w} x {h} pixels" for w, h in zip(width, height, strict=True)]
    grey = [f"mean grey {level:.0f}" for level in brightness]
    return [
        _finding("low_information", "Of one colour throughout", table, blank, grey),
        _finding("dark", "Nearly black", table, black, grey),
        _finding("light", "Nearly white", table, white, grey),
        _finding(
            "odd_size", f"With an edge below {MIN_SIZE} pixels", table, short < MIN_SIZE, sizes
        ),
        _finding(
            "odd_aspect_ratio",
            f"More than {MAX_ASPECT_RATIO:g} times as long as wide",
            table,
            long > MAX_ASPECT_RATIO * short,
            sizes,
        ),
    ]


def _brightness_and_contrast(
    images: "PixelArray", rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each image, and the largest standard deviation of its channels."""
    distinct, at = np.unique(rows, return_inverse=True)  # in the order of the file on disk

    def measure(batch: NDArray[np.int64]) -> list[tuple[float, float]]:
        return [_mean_and_spread(images, row) for row in batch]

    batches = (distinct[start : start + _BATCH] for start in range(0, len(distinct), _BATCH))
    measured = chain.from_iterable(ordered_map(measure, batches))
    values = np.array(list(measured)).reshape(-1, 2)
    return values[at, 0], values[at, 1]


def _mean_and_spread(images: "PixelArray", row: np.int64) -> tuple[float, float]:
    square = images.array[row]
    mean, spread = _moments(square[:: max(1, images.size // _LINES), ::4])
    return _moments(square) if spread < MIN_STD else (mean, spread)


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    channels = pixels.reshape(-1, 3).astype(np.float32)
    return float(channels.mean()), float(channels.std(axis=0).max())


def _finding(
    name: str, what: str, table: pd.DataFrame, is_one: NDArray[np.bool_], told: list[str]
) -> Finding:
    found = np.flatnonzero(is_one)
    files = table["file"].to_numpy()
    return Finding(
        name,
        "medium" if name == "low_information" else "low",
        f"{what}: {pluralize(len(found), 'file')} of {len(table):,}.",
        len(found),
        {"files": len(found)},
        [[str(files[i]), told[i]] for i in found],
        "Look at them; take away what shows no skin, and mend the source.",
    )
