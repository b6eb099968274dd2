"""Gaps: differences of balanced accuracy between slices, over the classes that both have."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.slices.model import Gap
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import LEVEL, unite
from skin_lesions.metrics.linearization import LinearizedError, linearized_error

# As for the balanced accuracy (scorecard.class_means): the recall of a class of n images in a slice
# is replaced by the mean of its n images and of this number of images with the mean recall of the
# slice. A class whose images are all right would otherwise show no variance.
SHRINKAGE = 2.0
Selected = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class UncorrectedGap:
    """A difference between two slices before the correction for the number of comparisons.

    Attributes:
        names: Values of the slices; the first one has the higher balanced accuracy.
        classes: Classes that have images in both slices.
        means: Balanced accuracy of both slices over these classes.
        n: Number of images of these classes in both slices.
        smaller: Number of images of these classes in the slice that has fewer of them.
        error: Error of the influence of each image on the difference.
        standard_error: Standard error of the difference.
    """

    names: tuple[str, str]
    classes: tuple[str, ...]
    means: tuple[float, float]
    n: int
    smaller: int
    error: LinearizedError
    standard_error: float


def compare_slices(
    rows: PredictionArrays, first: tuple[str, Selected], second: tuple[str, Selected]
) -> UncorrectedGap | None:
    """Return the difference of the balanced accuracies of two slices.

    The influence of an image on the difference is that on the mean recall of its slice, with a
    minus in the slice with the lower mean. Their sums over groups give the error, so that a group
    with images in both slices counts once.

    Args:
        rows: All predictions.
        first: Value of a slice, and which rows are in it, (n,).
        second: The same for another slice.

    Returns:
        The difference over the classes that both slices have; None if there is none.
    """
    k = len(rows.classes)
    # Images, and correct images, of each class in each slice: (2, k).
    selected = np.array([first[1], second[1]])
    support = np.array([np.bincount(rows.label[s], minlength=k) for s in selected])
    hits = np.array([np.bincount(rows.label[s & rows.correct], minlength=k) for s in selected])
    common = np.flatnonzero((support > 0).all(axis=0))
    if common.size == 0:
        return None
    support, hits = support[:, common].astype(np.float64), hits[:, common]
    recall = hits / support  # (2, common classes)
    means = recall.mean(axis=1)
    order = (0, 1) if means[0] >= means[1] else (1, 0)
    influence = np.zeros(rows.n)
    position = np.full(k, -1)
    position[common] = np.arange(common.size)
    inside = selected & (position[rows.label] >= 0)  # (2, n)
    for sign, s in zip((1.0, -1.0), order, strict=True):
        c = position[rows.label[inside[s]]]
        excess = rows.correct[inside[s]] - recall[s, c]
        influence[inside[s]] = sign * excess / (support[s, c] * common.size)
    used = inside.any(axis=0)
    error = linearized_error(influence[used], rows.group[used])
    of_slices = [linearized_error(influence[inside[s]], rows.group[inside[s]]) for s in order]
    of_small_classes = np.sqrt(_small_class_variance(recall, support) * error.design_effect)
    names = (first[0], second[0])
    return UncorrectedGap(
        names=(names[order[0]], names[order[1]]),
        classes=tuple(rows.classes[c] for c in common),
        means=(float(means[order[0]]), float(means[order[1]])),
        n=int(used.sum()),
        smaller=int(inside.sum(axis=1).min()),
        error=replace(error, degrees_of_freedom=_degrees_of_freedom(of_slices)),
        standard_error=max(error.standard_error, float(of_small_classes)),
    )


def _degrees_of_freedom(errors: Sequence[LinearizedError]) -> float:
    """Return the degrees of freedom of a difference of slices, at least 1.

    The variance of a small slice is uncertain, even if the other slice is large.

    Source:
        Welch (1947), doi:10.1093/biomet/34.1-2.28.
    """
    known = [e for e in errors if 0 < e.standard_error < np.inf]
    if len(known) < len(errors):  # all images are right, or all are of one group
        return min(e.degrees_of_freedom for e in errors)
    variances = np.array([e.standard_error**2 for e in known])
    degrees = np.array([e.degrees_of_freedom for e in known])
    return float(variances.sum() ** 2 / (variances**2 / degrees).sum())


def _small_class_variance(recall: Floats, support: Floats) -> float:
    """Return the variance of the difference of the mean recalls of two slices, (2, classes) each.

    It is the sum of p (1 - p) / n over classes and slices, over the squared number of classes.
    """
    means = recall.mean(axis=1, keepdims=True)
    shrunken = (support * recall + SHRINKAGE * means) / (support + SHRINKAGE)
    # All images of a slice can be right. One half of an image is then counted as wrong.
    margin = 0.5 / (support.sum(axis=1, keepdims=True) + 1)
    shrunken = np.clip(shrunken, margin, 1 - margin)
    return float((shrunken * (1 - shrunken) / support).sum()) / recall.shape[1] ** 2


def correct_for_comparisons(gap: UncorrectedGap, comparisons: int) -> Gap:
    """Return a gap with its 95 % interval and the one that allows for all comparisons.

    Bonferroni: each of m intervals has the level 1 - 0.05 / m. All m together then contain the true
    differences with a probability of at least 95 %, whatever the differences depend on. The choice
    of the largest gap among them is therefore allowed for.

    Args:
        gap: The difference of two slices.
        comparisons: Number m of all differences that were computed.

    Source:
        Dunn (1961), doi:10.1080/01621459.1961.10482090.
    """
    difference = gap.means[0] - gap.means[1]
    interval = gap.error.interval(difference, standard_error=gap.standard_error)
    level = 1 - (1 - LEVEL) / comparisons
    wider = gap.error.interval(difference, standard_error=gap.standard_error, level=level)
    low, high = (max(-1.0, wider[0]), min(1.0, wider[1])) if wider else (None, None)
    return Gap(
        higher=gap.names[0],
        lower=gap.names[1],
        classes=gap.classes,
        of_higher=gap.means[0],
        of_lower=gap.means[1],
        difference=unite(difference, gap.n, [interval], lowest=-1.0),
        simultaneous_low=low,
        simultaneous_high=high,
        is_shown=low is not None and low > 0,
    )
