"""Localization of lesions: overlap of boxes and masks, average precision, means with intervals.

A box is x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, in any unit. All lesions are of one class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skin_lesions.metrics.intervals import Estimate, unavailable, unite
from skin_lesions.metrics.linearization import mean_influence, uneven_error

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A smaller Jaccard index counts as a failure in ISIC 2018, task 1.
ISIC_THRESHOLD = 0.65
# The definition of COCO: IoU thresholds 0.50 to 0.95, recalls 0 to 1, boxes of an image.
COCO_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
_RECALLS = np.linspace(0.0, 1.0, 101)
_MAX_PREDICTED = 100


@dataclass(frozen=True, kw_only=True)
class ImageBoxes:
    """Boxes of an image.

    Attributes:
        predicted: The predicted boxes, (p, 4).
        scores: The score of each predicted box, (p,). Higher scores are more certain.
        true: The true boxes, (t, 4).
    """

    predicted: Floats
    scores: Floats
    true: Floats

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: There is not one finite score for each predicted box.
        """
        if self.scores.shape != (len(self.predicted),) or not np.isfinite(self.scores).all():
            raise ValueError(
                f"Invalid scores (shape {self.scores.shape}) of {len(self.predicted)} boxes. "
                "Expected one finite score for each predicted box."
            )


def box_iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the intersection over union of each pair of boxes.

    The result is 0 for two boxes without an area.

    Args:
        a: Boxes, (n, 4).
        b: Boxes in the same unit, (m, 4).

    Returns:
        (n, m), 0 to 1.

    Raises:
        ValueError: The shape is another one, a number is not finite, or a box ends before it
            starts.

    Source:
        Everingham et al. (2010), doi:10.1007/s11263-009-0275-4, section 4.2.
    """
    first, second = _checked_boxes(a)[:, None], _checked_boxes(b)[None]  # (n, 1, 4), (1, m, 4)
    start = np.maximum(first[..., :2], second[..., :2])  # (n, m, 2)
    end = np.minimum(first[..., 2:], second[..., 2:])
    intersection = np.maximum(end - start, 0.0).prod(axis=-1)  # (n, m)
    union = _area(first) + _area(second) - intersection
    # The largest of union and the smallest positive number: 0 / 0 becomes 0.
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float64).tiny), np.float64)


def _checked_boxes(boxes: ArrayLike) -> Floats:
    found = np.asarray(boxes, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 4:
        raise ValueError(f"Invalid boxes (shape {found.shape}). Expected x0, y0, x1, y1 per row.")
    if not np.isfinite(found).all() or (found[:, :2] > found[:, 2:]).any():
        raise ValueError(
            "Invalid boxes (not finite, or the end is before the start). "
            "Expected x0 <= x1 and y0 <= y1."
        )
    return found


def _area(boxes: Floats) -> Floats:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).prod(axis=-1), np.float64)


def top_box_iou(image: ImageBoxes) -> float:
    """Return the IoU of the predicted box of the highest score with the true box it overlaps most.

    The result is 0 without a predicted box or without a true box. Of equal scores, the first box
    counts.
    """
    if not len(image.predicted) or not len(image.true):
        return 0.0
    top = int(np.argmax(image.scores))
    return float(box_iou(image.predicted[top : top + 1], image.true).max())


def mask_iou(a: Bools, b: Bools) -> float:
    """Return the intersection over union of two masks: their Jaccard index.

    Args:
        a: Whether each pixel is part of the lesion, (h, w).
        b: The same by another method, (h, w).

    Raises:
        ValueError: The shapes differ, the arrays are not Boolean, or both masks are empty.

    Source:
        Jaccard (1912), doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    if a.shape != b.shape or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise ValueError(
            f"Masks that cannot be compared ({a.dtype} of shape {a.shape}, {b.dtype} of shape "
            f"{b.shape}). Expected two Boolean arrays of one shape."
        )
    union = np.count_nonzero(a | b)
    if union == 0:
        raise ValueError("Two masks without a pixel have no overlap. Expected a mask of a lesion.")
    return np.count_nonzero(a & b) / union


def thresholded_jaccard(iou: ArrayLike, threshold: float = ISIC_THRESHOLD) -> Floats:
    """Return the Jaccard index of each image, or 0 where it is below the threshold.

    Args:
        iou: The Jaccard index of the masks of each image, (n,).
        threshold: Smallest Jaccard index that counts.

    Source:
        Codella et al. (2019), arXiv:1902.03368: the metric of ISIC 2018, task 1.
    """
    values = np.asarray(iou, dtype=np.float64)
    return np.where(values >= threshold, values, 0.0)


def average_precisions(
    images: Sequence[ImageBoxes], thresholds: Sequence[float] = COCO_THRESHOLDS
) -> Floats:
    """Return the average precision of the boxes for each IoU threshold, in the definition of COCO.

    Within an image, predicted boxes are matched in the order of their scores. Each gets the true
    box of the largest IoU of at least the threshold that is not matched yet. Average precision is
    the mean over 101 recalls of the highest precision at this recall or a higher one. At most 100
    boxes of an image count. AP50 is the first value for the default thresholds, and mAP50-95 is the
    mean of all of them.

    Args:
        images: The boxes of each image, in a fixed order. Of equal scores, the first box counts
            first.
        thresholds: The IoU thresholds, above 0.

    Returns:
        (thresholds,), 0 to 1.

    Raises:
        ValueError: No image has a true box.

    Source:
        Lin et al. (2014), arXiv:1405.0312, in the implementation of pycocotools.
    """
    total = sum(len(image.true) for image in images)
    if total == 0:
        raise ValueError("Average precision of images without a true box. Expected at least one.")
    limits = np.asarray(thresholds, dtype=np.float64)
    scores, is_hit = [np.zeros(0)], [np.zeros((limits.size, 0), np.bool_)]
    for image in images:
        order = np.argsort(-image.scores, kind="stable")[:_MAX_PREDICTED]
        scores.append(image.scores[order])
        is_hit.append(_hits(image.predicted[order], image.true, limits))
    # n predicted boxes of all images, highest score first.
    ranking = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(is_hit, axis=1)[:, ranking], axis=1)  # (thresholds, n)
    precision = hits / np.arange(1, ranking.size + 1)
    # Highest precision of this box and all later ones; 0 beyond the last one. (thresholds, n + 1)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    highest = np.pad(highest, ((0, 0), (0, 1)))
    first = [np.searchsorted(recall, _RECALLS) for recall in hits / total]
    found = np.take_along_axis(highest, np.stack(first), axis=1)  # (thresholds, recalls)
    return np.asarray(found.mean(axis=1), np.float64)


def _hits(predicted: Floats, true: Floats, limits: Floats) -> Bools:
    """Return whether each predicted box is matched to a true box, (thresholds, p).

    Args:
        predicted: Boxes, highest score first, (p, 4).
        true: Boxes, (t, 4).
        limits: IoU thresholds, (thresholds,).
    """
    found = np.zeros((limits.size, len(predicted)), np.bool_)
    if not len(true):
        return found
    free = np.ones((limits.size, len(true)), np.bool_)  # true boxes that are not matched yet
    rows = np.arange(limits.size)
    for number, overlap in enumerate(box_iou(predicted, true)):
        allowed = free & (overlap >= limits[:, None])  # (thresholds, t)
        # The last one of equal overlaps, as in pycocotools.
        reverse = np.where(allowed, overlap, -1.0)[:, ::-1].argmax(axis=1)
        best = len(true) - 1 - reverse  # (thresholds,)
        found[:, number] = allowed[rows, best]
        free[rows, best] &= ~found[:, number]
    return found


def mean_of_images(values: ArrayLike, groups: ArrayLike) -> Estimate:
    """Return the mean of one value per image, such as an IoU, with a 95 % interval.

    The interval is on the logit scale, because most IoUs are high and a few are 0. It shows no
    variance from failures that did not occur. It is therefore too narrow if failures are so rare
    that the images may contain none.

    Args:
        values: One value from 0 to 1 for each image, (n,).
        groups: The group of each image, (n,).
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return unavailable("no images")
    value = float(x.mean())
    error = uneven_error(mean_influence(x), groups)
    if not np.isfinite(error.standard_error):
        return _of_one_group(value, x.size)
    return unite(value, x.size, [error.interval(value, "logit")])


def mean_gain(baseline: ArrayLike, candidate: ArrayLike, groups: ArrayLike) -> Estimate:
    """Return the paired difference of two means over images, candidate minus baseline.

    Args:
        baseline: One value from 0 to 1 for each image, (n,).
        candidate: The same of another method, (n,).
        groups: The group of each image, (n,).
    """
    gain = np.asarray(candidate, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if gain.size == 0:
        return unavailable("no images")
    value = float(gain.mean())
    error = uneven_error(mean_influence(gain), groups)
    if not np.isfinite(error.standard_error):
        return _of_one_group(value, gain.size)
    return unite(value, gain.size, [error.interval(value)], lowest=-1.0)


def _of_one_group(value: float, n: int) -> Estimate:
    reason = "all images are of one group, so the data show no variance"
    return Estimate(value=value, low=None, high=None, n=n, reason=reason)
