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


def find_lesions(
    data: bytes, read_pixels: Callable[[bytes, dict], np.ndarray], settings: dict
) -> tuple[dict, dict]:
    """Find the lesions of an image.

    Args:
        data: Complete content of an image file.
        read_pixels: The function of predict.py.
        settings: Preprocessing of the model.

    Returns:
        The box of the main lesion in pixels, its score and the number of lesions. Then the
        settings, with the region around the lesion if the model classifies crops of it.
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
    if settings.get("lesion_margin") is not None:
        settings = settings | {"region": region_around(box, width / height, settings)}
    cells = {"lesion_score": score, "lesion_count": count}
    cells["localizer_version"] = LOCALIZER["version"]
    return dict(zip(CORNERS, corners, strict=True)) | cells, settings


def region_around(box: list[float], aspect: float, settings: dict) -> tuple[int, int, int, int]:
    """Return the square around a box, inside of the image, in pixels of the stored square."""
    x0, y0, x1, y1 = box
    stored = settings["stored_image_size"]
    side = (1 + 2 * settings["lesion_margin"]) * max((x1 - x0) * aspect, y1 - y0)
    ends = []
    for center, length in (((x0 + x1) / 2, side / aspect), ((y0 + y1) / 2, side)):
        pixels = min(stored, max(1, round(length * stored)))
        start = min(stored - pixels, max(0, round(center * stored - pixels / 2)))
        ends.append((start, start + pixels))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom


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
