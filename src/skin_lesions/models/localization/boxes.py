"""Boxes from a map of probabilities: a threshold, connected components, and their bounding boxes.

The threshold is the one with the highest mean IoU of annotated images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from skin_lesions.core.errors import InputError
from skin_lesions.models.localization.lesions import IMAGE_BOX, FloatArray, box_coverage, box_iou

_UPSAMPLING = 4  # the map is interpolated, so that a box is finer than its positions
_MIN_RELATIVE_MASS = 0.1  # of a component, relative to the largest one
# A map without a value above the threshold still has a most probable region. Its box starts at this
# fraction of the maximum, and has a low score.
_FALLBACK = 0.5
_THRESHOLDS = np.arange(2, 19) / 20  # 0.1, 0.15, ..., 0.9
_CONSTANT_GRID = 28  # side of the map of a constant box
_MAX_FIT_IMAGES = 1000  # images for the threshold; more only take time


@dataclass(frozen=True, kw_only=True)
class Localization:
    """The lesions that were found in one image.

    Attributes:
        boxes: (k, 4) with k >= 1, fractions of the image; the main lesion first.
        scores: (k,), decreasing. The mean probability inside of the main lesion; for each other
            lesion, this value times its mass divided by that of the main lesion.
        probabilities: (g, g) float32, probability that each position shows a lesion.
    """

    boxes: FloatArray
    scores: FloatArray
    probabilities: npt.NDArray[np.float32]


def constant_localization(box: Sequence[float]) -> Localization:
    """Return a box that is the same for each image, (4,) fractions, with score 1."""
    return Localization(
        boxes=np.array([box]), scores=np.ones(1), probabilities=box_coverage(box, _CONSTANT_GRID)
    )


def boxes_of_map(probabilities: npt.NDArray[np.float32], threshold: float) -> Localization:
    """Return the boxes of the connected components above a threshold.

    The components are sorted by their mass, the sum of their probabilities. Those with less than a
    tenth of the largest mass are removed. If no value is above the threshold, the threshold is half
    of the maximum. A map that is zero everywhere gives the complete image with score 0.
    """
    maximum = float(probabilities.max())
    if maximum <= 0:
        return Localization(
            boxes=np.array([IMAGE_BOX]), scores=np.zeros(1), probabilities=probabilities
        )
    side = probabilities.shape[0] * _UPSAMPLING
    fine = cv2.resize(probabilities, (side, side), interpolation=cv2.INTER_LINEAR)
    level = threshold if fine.max() >= threshold else _FALLBACK * maximum
    labels, count = ndimage.label(fine >= level)
    numbers = np.arange(1, count + 1)
    masses = ndimage.sum_labels(fine, labels, numbers)  # (count,)
    means = ndimage.mean(fine, labels, numbers)
    extents = np.array(
        [
            (columns.start, rows.start, columns.stop, rows.stop)
            for rows, columns in ndimage.find_objects(labels)
        ]
    )
    order = np.argsort(-masses, kind="stable")
    order = order[masses[order] >= _MIN_RELATIVE_MASS * masses.max()]
    scores = means[order[0]] * masses[order] / masses[order[0]]
    return Localization(boxes=extents[order] / side, scores=scores, probabilities=probabilities)


def fit_threshold(maps: Sequence[npt.NDArray[np.float32]], boxes: FloatArray) -> float:
    """Return the threshold with the highest mean IoU of the first box and the annotated box.

    The mean IoU is averaged over neighboring thresholds, because it is noisy with few images.

    Args:
        maps: Probabilities of n images, (g, g) each.
        boxes: Annotated box of each image, (n, 4) fractions.

    Raises:
        InputError: There are no annotated images.
    """
    if not len(maps):
        raise InputError(
            "There is no annotated image to fit the threshold of the boxes. Expected at least 1. "
            "Fix: add boxes or masks, or set the method whole_image"
        )
    chosen = np.linspace(0, len(maps) - 1, min(len(maps), _MAX_FIT_IMAGES)).round().astype(int)
    iou = np.array(
        [
            np.mean([box_iou(boxes_of_map(maps[i], level).boxes[0], boxes[i]) for i in chosen])
            for level in _THRESHOLDS
        ]
    )
    smooth = np.convolve(np.pad(iou, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    return float(_THRESHOLDS[smooth.argmax()])
