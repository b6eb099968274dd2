"""Intervals of statistics of clustered images, by linearization.

The influence of an image is the change of a statistic, to first order, if its weight grows:
statistic(weights) ≈ statistic(1) + Σ (weight - 1) · influence. The influences of all images sum to
about 0. Images of one group (a lesion, a patient, near-duplicates of one image) tend to be right or
wrong together. The variance is therefore that of the sums over the groups, whatever labels the
images of a group have.

Source:
    Binder (1983), doi:10.2307/1402588, for the variance; Korn and Graubard (1998), Survey
    Methodology 24(2), 193-201, for t quantiles.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from skin_lesions.metrics.intervals import LEVEL, ROUNDING, factorize

Floats = NDArray[np.float64]
Scale = Literal["identity", "log", "logit"]


@dataclass(frozen=True, kw_only=True)
class LinearizedError:
    """Standard error of a statistic.

    Attributes:
        standard_error: Root of G / (G - 1) · Σ (sum of the influences of a group)² for G groups.
        unclustered: The same, if each image were a group of its own.
        degrees_of_freedom: Effective number of groups minus 1, at least 1. The effective number is
            Kish's (Σm)² / Σm² for groups of m images: one dominating group counts for most.
    """

    standard_error: float
    unclustered: float
    degrees_of_freedom: float

    @property
    def design_effect(self) -> float:
        """Variance with groups over variance without groups, at least 1."""
        if not ROUNDING < self.unclustered < float("inf"):
            return 1.0
        return max(1.0, (self.standard_error / self.unclustered) ** 2)

    def interval(
        self,
        value: float,
        scale: Scale = "identity",
        *,
        standard_error: float | None = None,
        level: float = LEVEL,
    ) -> tuple[float, float] | None:
        """Return the confidence interval, or None if the error is 0 or unknown.

        Args:
            value: The statistic.
            scale: Scale on which the statistic is about normal: ``log`` for statistics above 0,
                ``logit`` for those between 0 and 1. The value itself must be inside of this range,
                otherwise the result is None.
            standard_error: Another standard error of the statistic.
            level: Confidence level; close to 1 for an interval that allows for many comparisons.
        """
        error = self.standard_error if standard_error is None else standard_error
        if not ROUNDING < error < float("inf"):
            return None
        distance = float(stats.t.ppf(0.5 + level / 2, self.degrees_of_freedom)) * error
        if scale == "identity":
            return value - distance, value + distance
        if value <= ROUNDING or (scale == "logit" and value >= 1 - ROUNDING):
            return None
        if scale == "log":
            # The standard error of log(x) is that of x, divided by x.
            factor = float(np.exp(distance / value))
            return value / factor, value * factor
        # The standard error of logit(x) is that of x, divided by x (1 - x).
        center, half = float(np.log(value / (1 - value))), distance / (value * (1 - value))
        low, high = 1 / (1 + np.exp([half - center, -half - center]))
        return float(low), float(high)


def linearized_error(influence: ArrayLike, groups: ArrayLike) -> LinearizedError:
    """Return the standard error of a statistic.

    Args:
        influence: The influence of each image, (n,), n at least 1.
        groups: The group of each image, (n,).
    """
    values = np.asarray(influence, dtype=np.float64)
    group, sizes = factorize(groups, values.size)
    sums = np.bincount(group, weights=values).astype(np.float64)  # (groups,)
    effective = values.size**2 / float((sizes**2).sum())
    return LinearizedError(
        standard_error=_root_of_sum(sums),
        unclustered=_root_of_sum(values),
        degrees_of_freedom=max(1.0, effective - 1),
    )


def uneven_error(influence: ArrayLike, groups: ArrayLike) -> LinearizedError:
    """Return the standard error with the degrees of freedom of uneven influences.

    A few groups can cause most of the variance: those of a rare class, with a large loss, or with
    an IoU of 0. The effective number of groups with the sums s is then (Σs²)² / Σs⁴.

    Args:
        influence: The influence of each image, (n,), n at least 1.
        groups: The group of each image, (n,).

    Source:
        Satterthwaite (1946), doi:10.2307/3002019, with the variance of each group estimated by s².
    """
    values = np.asarray(influence, dtype=np.float64)
    error = linearized_error(values, groups)
    squares = np.bincount(factorize(groups, values.size)[0], weights=values) ** 2  # (groups,)
    if not squares.any():
        return error
    effective = float(squares.sum() ** 2 / (squares**2).sum())
    return replace(error, degrees_of_freedom=max(1.0, min(error.degrees_of_freedom, effective)))


def _root_of_sum(influences: Floats) -> float:
    """Return the root of m / (m - 1) Σ influence²; infinite for one influence, which shows none."""
    m = influences.size
    return float(np.sqrt(m / (m - 1) * (influences**2).sum())) if m > 1 else float("inf")


def mean_influence(values: ArrayLike) -> Floats:
    """Return the influence of each image on a mean of one value per image, (n,)."""
    x = np.asarray(values, dtype=np.float64)
    return np.asarray((x - x.mean()) / x.size, np.float64)


def macro_recall_influence(label: NDArray[np.intp], correct: NDArray[np.bool_]) -> Floats:
    """Return the influence on the mean recall of the classes that have images, (n,).

    Args:
        label: The class number of each image, (n,).
        correct: Whether each prediction is correct, (n,).
    """
    support = np.bincount(label)  # (k,)
    recall = np.bincount(label, weights=correct) / np.maximum(support, 1)
    influence = (correct - recall[label]) / support[label] / np.count_nonzero(support)
    return np.asarray(influence, np.float64)


def macro_f1_influence(label: NDArray[np.intp], predicted: NDArray[np.intp]) -> Floats:
    """Return the influence on the mean F1 of the classes that have images, (n,).

    F1 = 2 hits / (support + predictions), so the influence of an image is
    (2 hit - F1 (labeled + predicted)) / (support + predictions), with 0 or 1 for each.

    Args:
        label: The class number of each image, (n,).
        predicted: The predicted class number of each image, (n,).
    """
    classes = int(max(label.max(), predicted.max())) + 1
    hit = label == predicted
    support = np.bincount(label, minlength=classes)
    total = np.maximum(support + np.bincount(predicted, minlength=classes), 1)
    f1 = 2 * np.bincount(label[hit], minlength=classes) / total
    # A hit counts twice: as label and as prediction. A class without images has an F1 of 0 and no
    # hits, so it does not count.
    influence = (hit - f1[label]) / total[label] + (hit - f1[predicted]) / total[predicted]
    return np.asarray(influence / np.count_nonzero(support), np.float64)


def auroc_and_influence(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return an AUROC and the influence of each image on it, (n,).

    Args:
        scores: Higher scores are more positive, (n,). Equal scores count one half.
        positive: Which images are positive, (n,).

    Raises:
        ValueError: There is no positive or no negative image.

    Source:
        DeLong, DeLong and Clarke-Pearson (1988), doi:10.2307/2531595.
    """
    if positive.all() or not positive.any():
        raise ValueError(
            "AUROC is undefined, because all rows have one label. "
            "Expected positive and negative rows."
        )
    of_positive, of_negative = np.sort(scores[positive]), np.sort(scores[~positive])
    # Fraction of the other kind that each image ranks correctly against.
    placement = np.empty(scores.size)
    placement[positive] = fraction_below(of_negative, scores[positive])
    placement[~positive] = 1 - fraction_below(of_positive, scores[~positive])
    auroc = float(placement[positive].mean())
    size = np.where(positive, of_positive.size, of_negative.size)
    return auroc, (placement - auroc) / size


def fraction_below(ranked: Floats, values: Floats) -> Floats:
    """Return the fraction of ranked scores that are below each value; ties count one half."""
    below = np.searchsorted(ranked, values, side="left")
    up_to = np.searchsorted(ranked, values, side="right")
    return (below + up_to) / (2 * ranked.size)


def average_precision_and_influence(
    scores: Floats, positive: NDArray[np.bool_]
) -> tuple[float, Floats]:
    """Return an average precision and the influence of each image on it, (n,).

    With weights w, AP = Σ w_i T_i / N_i over the positives i, divided by their total weight P. T_i
    is the weight of the positives and N_i that of all images that score at least as high as i.

    Args:
        scores: Higher scores are more positive, (n,).
        positive: Which images are positive, (n,); at least one.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, is_positive = scores[order], positive[order]
    # Images of equal score have the same threshold: the position of the last one, (n,).
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    selected = last + 1.0  # N_i
    hits = np.cumsum(is_positive)[last]  # T_i
    precision = hits / selected
    positives = int(is_positive.sum())
    value = float(precision[is_positive].sum() / positives)
    # An image increases N_i, and T_i if it is positive, of all positives that score at most as high
    # as it. Their sums, from the first image of equal score to the end: (n,).
    first = np.searchsorted(-ranked, -ranked, side="left")
    of_selected = sum_from(np.where(is_positive, hits / selected**2, 0.0))[first]
    of_hits = sum_from(np.where(is_positive, 1 / selected, 0.0))[first]
    influence = np.empty(scores.size)
    influence[order] = (is_positive * (precision - value + of_hits) - of_selected) / positives
    return value, influence


def sum_from(values: Floats) -> Floats:
    """Return the sum of each value and all later ones, (n,)."""
    return np.asarray(np.cumsum(values[::-1])[::-1], np.float64)


def confusion_influence(
    statistic: Callable[[Floats], float], label: NDArray[np.intp], predicted: NDArray[np.intp]
) -> Floats:
    """Return the influence on a statistic of the confusion matrix, by numerical derivatives, (n,).

    Args:
        statistic: Function of the confusion matrix, (k, k), rows are labels. It must not change if
            all counts are multiplied by one number.
        label: The class number of each image, (n,).
        predicted: The predicted class number of each image, (n,).
    """
    counts = confusion_counts(label, predicted)
    derivatives = np.zeros_like(counts)
    step = 1e-4  # images
    for cell in zip(*np.nonzero(counts), strict=True):
        change = np.zeros_like(counts)
        change[cell] = step
        derivatives[cell] = (statistic(counts + change) - statistic(counts - change)) / (2 * step)
    return np.asarray(derivatives[label, predicted], np.float64)


def confusion_counts(label: NDArray[np.intp], predicted: NDArray[np.intp]) -> Floats:
    """Return the confusion matrix, (k, k), rows are labels; k is the largest number plus 1."""
    k = int(max(label.max(), predicted.max())) + 1
    counts = np.bincount(label * k + predicted, minlength=k * k)
    return counts.reshape(k, k).astype(np.float64)
