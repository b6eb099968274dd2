"""Low-quality images: blank, dark, light, small or elongated images, masks and drawings.

Unreadable files are not listed here; they are in the quarantine.
"""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
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
# Two colors cover at most 74 % of the pixels of 6,800 photographs (90 % without their colors), and
# at least 97 % of 150 masks. At least 5 % of the pixels of a photograph are colored.
COLOR_TOLERANCE = 8.0  # gray levels, largest difference of a channel from that of the color
COLOR_DISTANCE = 64.0  # gray levels, smallest difference between the two colors
MASK_FRACTION = 0.93  # of the pixels, in two colors
DRAWING_CHROMA = 8  # gray levels, largest difference between the channels of a gray pixel
DRAWING_COLORED = 0.01  # of the pixels, in a drawing without colors
PAPER_LEVEL, PAPER_FRACTION = 240, 0.5  # gray level and fraction of the background of a drawing
_LINES = 16  # rows of pixels sampled per image; all pixels of seemingly blank images are checked
_BATCH = 64  # images


@dataclass(frozen=True)
class QualityFault:
    """The files with one fault of their image.

    Attributes:
        finding_id: The id of its finding.
        problem: What is wrong, in the plural, as in "Nearly black images".
        description: The same for one image, as in "nearly black".
        files: The affected files, sorted.
        measurements: What was measured, such as "mean gray 3"; one per file.
    """

    finding_id: str
    problem: str
    description: str
    files: list[str]
    measurements: list[str]


def low_quality_images(context: AuditContext) -> list[Finding]:
    """List the files whose images are blank, dark, light, small, elongated, masks or drawings.

    Returns:
        One finding per fault, with the files as examples.

    Raises:
        InputError: Some images are not available at this size.
    """
    faults = find_quality_faults(context.image_table, context.images)
    return [_finding(fault, len(context.image_table)) for fault in faults]


def find_quality_faults(image_table: pd.DataFrame, images: PixelArray) -> list[QualityFault]:
    """Find the files whose images are blank, dark, light, small, elongated, masks or drawings.

    Args:
        image_table: One row per file; columns file, image_id, width and height.
        images: The decoded images.

    Returns:
        The faults that occur. A file can have several.

    Raises:
        InputError: Some images are not available at this size.
    """
    table = image_table.sort_values("file")
    files = table["file"].to_numpy()
    width = table["width"].to_numpy()  # pixels
    height = table["height"].to_numpy()
    short = np.minimum(width, height)
    long = np.maximum(width, height)
    measured = _measure_images(images, images.rows(table["image_id"]))
    brightness = measured[:, 0]
    blank = measured[:, 1] < MIN_STD
    mask = ~blank & (measured[:, 2] > MASK_FRACTION)
    drawing = (
        ~blank & ~mask & (measured[:, 3] < DRAWING_COLORED) & (measured[:, 4] > PAPER_FRACTION)
    )
    usual = ~blank & ~mask & ~drawing
    sizes = [f"{w} x {h} pixels" for w, h in zip(width, height, strict=True)]
    gray = [f"mean gray {level:.0f}" for level in brightness]
    two_colors = [f"{fraction:.0%} of the pixels in two colors" for fraction in measured[:, 2]]
    paper = [f"no colors, {fraction:.0%} white" for fraction in measured[:, 4]]
    small_problem = f"Images with a side below {MIN_SIZE} pixels"
    elongated_problem = f"Images with an aspect ratio above {MAX_ASPECT_RATIO:g}"
    faults = [
        ("low_information", "Images of a single color", "a single color", blank, gray),
        ("masks", "Images of two colors, such as masks", "such as a mask", mask, two_colors),
        ("drawings", "Drawings or scans without colors", "a drawing or scan", drawing, paper),
        ("dark", "Nearly black images", "nearly black", usual & (brightness < DARK_LEVEL), gray),
        ("light", "Nearly white images", "nearly white", usual & (brightness > LIGHT_LEVEL), gray),
        ("odd_size", small_problem, "small", short < MIN_SIZE, sizes),
        (
            "odd_aspect_ratio",
            elongated_problem,
            "elongated",
            long > MAX_ASPECT_RATIO * short,
            sizes,
        ),
    ]
    return [
        QualityFault(
            finding_id,
            problem,
            description,
            files=[str(file) for file in files[affected]],
            measurements=[measurements[i] for i in np.flatnonzero(affected)],
        )
        for finding_id, problem, description, affected, measurements in faults
        if affected.any()
    ]


class _Measurements(NamedTuple):
    """Measurements of the pixels of an image.

    Attributes:
        mean: Mean of all channels, gray levels.
        std: Largest standard deviation of a channel, gray levels.
        two_colors: Fraction of the pixels in the two most common colors.
        colored: Fraction of pixels whose channels differ.
        paper: Fraction of white pixels.
    """

    mean: float
    std: float
    two_colors: float
    colored: float
    paper: float


def _measure_images(images: PixelArray, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the measurements of each row, (n, 5)."""
    distinct, at = np.unique(rows, return_inverse=True)  # sorted: the order on disk

    def measure(batch: NDArray[np.int64]) -> list[_Measurements]:
        return [_measure(images.array[row]) for row in batch]

    batches = (distinct[start : start + _BATCH] for start in range(0, len(distinct), _BATCH))
    measured = chain.from_iterable(ordered_map(measure, batches))
    return np.array(list(measured)).reshape(-1, len(_Measurements._fields))[at]


def _measure(square: NDArray[np.uint8]) -> _Measurements:
    """Measure an image, (size, size, 3)."""
    # Every fourth pixel of up to about _LINES rows is enough for an image that is not blank.
    sample = square[:: max(1, len(square) // _LINES), ::4].reshape(-1, 3)
    mean, std = _moments(sample)
    if std < MIN_STD:
        mean, std = _moments(square.reshape(-1, 3))
    red, green, blue = sample.T.astype(np.int16)
    lowest = np.minimum(np.minimum(red, green), blue)
    highest = np.maximum(np.maximum(red, green), blue)
    return _Measurements(
        mean=mean,
        std=std,
        two_colors=_two_colors_fraction(sample.astype(np.int16)),
        colored=float((highest - lowest > DRAWING_CHROMA).mean()),
        paper=float((lowest >= PAPER_LEVEL).mean()),
    )


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    channels = pixels.astype(np.float32)  # (n, 3)
    return float(channels.mean()), float(channels.std(axis=0).max())


def _two_colors_fraction(pixels: NDArray[np.int16]) -> float:
    """Return the fraction of the pixels, (n, 3), that have one of the two most common colors.

    The fraction is 0 if the two colors are similar, or if there is only one.
    """
    rest = pixels
    colors: list[NDArray[np.float64]] = []  # (3,) each
    while len(rest) and len(colors) < 2:
        codes = (rest >> 4) @ np.array([1, 16, 256], np.int16)  # 4096 coarse colors, (n,)
        most_common = np.bincount(codes).argmax()
        colors.append(rest[codes == most_common].mean(axis=0))  # (3,)
        rest = rest[np.abs(rest - colors[-1]).max(axis=1) > COLOR_TOLERANCE]
    if len(colors) < 2 or np.abs(colors[0] - colors[1]).max() < COLOR_DISTANCE:
        return 0.0
    return 1 - len(rest) / len(pixels)


def _finding(fault: QualityFault, total: int) -> Finding:
    """Describe one fault among this number of files."""
    is_medium = fault.finding_id in ("low_information", "masks", "drawings")
    return Finding(
        id=fault.finding_id,
        severity="medium" if is_medium else "low",
        message=f"{fault.problem}: {pluralize(len(fault.files), 'file')} of {total:,}.",
        count=len(fault.files),
        details={"files": len(fault.files)},
        examples=[list(pair) for pair in zip(fault.files, fault.measurements, strict=True)],
        recommendation="Check these files. Remove images that do not show skin, and fix the "
        "source.",
    )
