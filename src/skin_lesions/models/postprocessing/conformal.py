"""Conformal prediction sets: the classes that an image may have, at a chosen coverage.

A class is in the set of an image if its probability is at least the threshold of the class. The
threshold is a quantile of the probabilities of the labels of validation images (least ambiguous
set-valued classifier, LAC). If test images are exchangeable with validation images, a set contains
the label with at least the chosen probability.

Limits: Images of one group (a lesion, a patient) are not exchangeable with each other, so the
coverage is less certain than the number of images suggests. The same validation images selected the
epoch and the temperature. The guarantee is for all possible validation images on average, not for
the given ones.

Source:
    Sadinle, Lei and Wasserman (2019), doi:10.1080/01621459.2017.1395341, for the score and the
    thresholds of classes; Vovk (2012), arXiv:1209.2673, for the guarantee within categories.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from skin_lesions.metrics.classification import Floats, Numbers

CalibratedOn = Literal["class", "rare_classes", "all_classes", "no_images"]
_ROUNDING = 1e-9  # (n + 1) · coverage may be slightly above the whole number that it equals


@dataclass(frozen=True, kw_only=True)
class ClassThreshold:
    """Threshold of a class.

    Attributes:
        min_probability: The class is in the set of an image if its probability is at least this.
        calibrated_on: Images that determine the threshold. ``class``: those of the class.
            ``rare_classes``: those of all classes that have too few images for a threshold of their
            own. ``all_classes``: all images, because these are too few as well. ``no_images``: all
            images together are too few, so the class is in every set.
        n: Number of these images.
    """

    min_probability: float
    calibrated_on: CalibratedOn
    n: int


@dataclass(frozen=True, kw_only=True)
class ConformalThresholds:
    """Thresholds of all classes, in the order of the model; ``coverage`` is the chosen coverage."""

    coverage: float
    classes: tuple[ClassThreshold, ...]

    def contains(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return whether each class is in the set of each image, (n, classes)."""
        return probabilities >= np.array([entry.min_probability for entry in self.classes])


def fit_conformal(probabilities: Floats, labels: Numbers, coverage: float) -> ConformalThresholds:
    """Fit the thresholds on validation images, never on test images.

    A class with ``min_images(coverage)`` images or more has its own threshold, so that the coverage
    also holds within the class. The rare classes share a threshold, which gives the coverage within
    their union. Without it, a common threshold could miss most images of rare classes, because
    their probabilities are low.

    Args:
        probabilities: For the class frequencies of the training images, (n, classes).
        labels: Class numbers, (n,).
        coverage: Fraction of the sets that contain the label, above 0 and below 1.

    Raises:
        ValueError: The coverage is not between 0 and 1.
    """
    needed = min_images(coverage)
    of_label = probabilities[np.arange(labels.size), labels]  # (n,)
    counts = np.bincount(labels, minlength=probabilities.shape[1])  # (classes,)
    is_rare = counts < needed  # (classes,)
    of_rare = of_label[is_rare[labels]]
    if of_rare.size >= needed:
        shared = _threshold(of_rare, "rare_classes", coverage)
    elif of_label.size >= needed:
        shared = _threshold(of_label, "all_classes", coverage)
    else:
        shared = _threshold(of_label[:0], "no_images", coverage)
    thresholds = [
        shared if is_rare[c] else _threshold(of_label[labels == c], "class", coverage)
        for c in range(counts.size)
    ]
    return ConformalThresholds(coverage=coverage, classes=tuple(thresholds))


def _threshold(of_label: Floats, calibrated_on: CalibratedOn, coverage: float) -> ClassThreshold:
    return ClassThreshold(
        min_probability=label_quantile(of_label, coverage),
        calibrated_on=calibrated_on,
        n=of_label.size,
    )


def min_images(coverage: float) -> int:
    """Return the smallest number of images for which the quantile exists.

    The quantile is the value of rank ceil((n + 1) · coverage) among n values. The rank is at most n
    if n >= coverage / (1 - coverage): 9 images for a coverage of 90 %, 19 for 95 %.

    Raises:
        ValueError: The coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"The coverage must be above 0 and below 1, got {coverage}")
    return max(1, math.ceil(coverage / (1 - coverage) - _ROUNDING))


def label_quantile(of_label: Floats, coverage: float) -> float:
    """Return the largest threshold that the labels of enough images reach.

    It is the quantile of rank ceil((n + 1) · coverage) of the scores 1 - p, as a probability: the
    value of this rank of the probabilities in decreasing order. ``np.quantile`` with
    ``method="higher"`` uses another rank. With too few images it is 0.

    Args:
        of_label: Probability of the label of each image, (n,).
        coverage: The chosen coverage.
    """
    rank = math.ceil((of_label.size + 1) * coverage - _ROUNDING)
    if rank > of_label.size:
        return 0.0
    return float(np.sort(of_label)[of_label.size - rank])


def set_names(
    contains: NDArray[np.bool_],
    probabilities: Floats,
    classes: Sequence[str],
) -> list[list[str]]:
    """Return the class names of the set of each image, the most probable class first.

    Args:
        contains: Whether a class is in the set, (n, classes).
        probabilities: (n, classes).
        classes: Names of the classes.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")  # (n, classes)
    return [
        [classes[c] for c in row if member[c]] for row, member in zip(order, contains, strict=True)
    ]
