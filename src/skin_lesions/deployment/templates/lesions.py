"""Boxes of lesions for predict.py. It needs only onnxruntime, numpy and Pillow."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

FOLDER = Path(__file__).resolve().parent
CORNERS = ("lesion_x0", "lesion_y0", "lesion_x1", "lesion_y1")
COLUMNS = [*CORNERS, "lesion_score", "lesion_count", "localizer_version"]
LOCALIZER = json.loads((FOLDER / "localizer.json").read_text(encoding="utf-8"))
SESSION = None  # a constant box needs no network
if LOCALIZER["box"] is None:
    SESSION = onnxruntime.InferenceSession(FOLDER / "localizer.onnx")


def find_lesions(data: bytes, read_pixels: Callable[[bytes, dict], np.ndarray]) -> dict:
    """Return the box of the main lesion in pixels, its score and the number of lesions.

    Args:
        data: Complete content of an image file.
        read_pixels: The function of predict.py.
    """
    box, score, count = LOCALIZER["box"], 1.0, 1
    if SESSION is not None:
        pixels = read_pixels(data, LOCALIZER["preprocessing"])
        mask = SESSION.run(["lesion_probabilities"], {"images": pixels[None]})[0][0]  # (g, g)
        box, score, count = main_region(mask, LOCALIZER["threshold"])
    image = Image.open(io.BytesIO(data))
    is_rotated = image.getexif().get(0x0112, 1) >= 5  # by 90 degrees
    width, height = reversed(image.size) if is_rotated else image.size
    corners = np.round(np.multiply(box, (width, height, width, height)), 1)
    return {
        **dict(zip(CORNERS, corners, strict=True)),
        "lesion_score": score,
        "lesion_count": count,
        "localizer_version": LOCALIZER["version"],
    }


def main_region(mask: np.ndarray, threshold: float) -> tuple[list[float], float, int]:
    """Return the box of the largest region as fractions, its mean and the number of regions."""
    side = 4 * len(mask)  # interpolated, so that the box is finer than the positions of the mask
    fine = np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.BILINEAR))
    labels = label_regions(fine >= (threshold if fine.max() >= threshold else mask.max() / 2))
    numbers = [number for number in np.unique(labels) if number]
    masses = [fine[labels == number].sum() for number in numbers]
    main = labels == numbers[int(np.argmax(masses))]
    rows, columns = np.flatnonzero(main.any(axis=1)), np.flatnonzero(main.any(axis=0))
    ends = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    count = sum(mass >= 0.1 * max(masses) for mass in masses)
    return [end / side for end in ends], fine[main].mean(), count


def label_regions(mask: np.ndarray) -> np.ndarray:
    """Give each group of adjacent positions of a mask its own number; the others are 0."""
    labels = np.arange(1, mask.size + 1).reshape(mask.shape) * mask
    while True:  # each position takes the largest number of itself and its neighbors
        x = np.pad(labels, 1)
        near = [labels, x[:-2, 1:-1], x[2:, 1:-1], x[1:-1, :-2], x[1:-1, 2:]]
        spread = np.max(near, axis=0) * mask
        if (spread == labels).all():
            return labels
        labels = spread
