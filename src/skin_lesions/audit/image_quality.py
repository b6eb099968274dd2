"""Low-quality images: blank, dark, light, small or elongated.

Unreadable files are not listed here; they are in the quarantine.
"""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import pluralize
from skin_lesions.data.pixel_store import PixelArray

# Gray levels, 0 to 255. Among 6,500 dermoscopic images the lowest standard deviation is 6.9, and
# the means are between 76 and 240. The darkest synthetic skin has a mean of 40.
MIN_STD = 2.0
DARK_LEVEL, LIGHT_LEVEL = 20.0, 245.0
MIN_SIZE = 64  # pixels, shorter side: less than the input size of any network
MAX_ASPECT_RATIO = 3.0  # longer over shorter side: stretched to a square, a lesion becomes a line
_LINES = 16  # rows of pixels sampled per image; all pixels of seemingly blank images are checked
_BATCH = 64  # images


def low_quality_images(context: AuditContext) -> list[Finding]:
    """List the files whose images are blank, dark, light, small or elongated.

    Returns:
        One finding per fault, with the files as examples.

    Raises:
        InputError: Some images are not available at this size.
    """
    table = context.image_table.sort_values("file")
    files = table["file"].to_numpy()
    width = table["width"].to_numpy()  # pixels
    height = table["height"].to_numpy()
    short = np.minimum(width, height)
    long = np.maximum(width, height)
    brightness, std = _brightness_and_contrast(
        context.images, context.images.rows(table["image_id"])
    )
    blank = std < MIN_STD
    sizes = [f"{w} x {h} pixels" for w, h in zip(width, height, strict=True)]
    gray = [f"mean gray {level:.0f}" for level in brightness]
    small_problem = f"Images with a side below {MIN_SIZE} pixels"
    elongated_problem = f"Images with an aspect ratio above {MAX_ASPECT_RATIO:g}"
    faults = [
        ("low_information", "Images of a single color", blank, gray),
        ("dark", "Nearly black images", ~blank & (brightness < DARK_LEVEL), gray),
        ("light", "Nearly white images", ~blank & (brightness > LIGHT_LEVEL), gray),
        ("odd_size", small_problem, short < MIN_SIZE, sizes),
        ("odd_aspect_ratio", elongated_problem, long > MAX_ASPECT_RATIO * short, sizes),
    ]
    return [
        _finding(finding_id, problem, files, affected, measurements)
        for finding_id, problem, affected, measurements in faults
        if affected.any()
    ]


def _brightness_and_contrast(
    images: PixelArray, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each image, and the largest standard deviation of its channels.

    Both have shape (n,), for n rows; the unit is gray levels.
    """
    distinct, at = np.unique(rows, return_inverse=True)  # sorted: the order on disk

    def measure(batch: NDArray[np.int64]) -> list[tuple[float, float]]:
        return [_mean_and_std(images, row) for row in batch]

    batches = (distinct[start : start + _BATCH] for start in range(0, len(distinct), _BATCH))
    measured = chain.from_iterable(ordered_map(measure, batches))
    values = np.array(list(measured)).reshape(-1, 2)  # (distinct images, 2)
    return values[at, 0], values[at, 1]


def _mean_and_std(images: PixelArray, row: np.int64) -> tuple[float, float]:
    square = images.array[row]  # (size, size, 3)
    # Every fourth pixel of up to about _LINES rows is enough for an image that is not blank.
    mean, std = _moments(square[:: max(1, images.size // _LINES), ::4])
    return _moments(square) if std < MIN_STD else (mean, std)


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    channels = pixels.reshape(-1, 3).astype(np.float32)  # (pixels, 3)
    return float(channels.mean()), float(channels.std(axis=0).max())


def _finding(
    finding_id: str,
    problem: str,
    files: NDArray[np.object_],
    affected: NDArray[np.bool_],
    measurements: list[str],
) -> Finding:
    """Describe one fault; files, affected and measurements have one entry per file."""
    found = np.flatnonzero(affected)
    return Finding(
        id=finding_id,
        severity="medium" if finding_id == "low_information" else "low",
        message=f"{problem}: {pluralize(len(found), 'file')} of {len(files):,}.",
        count=len(found),
        details={"files": len(found)},
        examples=[[str(files[i]), measurements[i]] for i in found],
        recommendation="Check these files. Remove images that do not show skin, and fix the "
        "source.",
    )
