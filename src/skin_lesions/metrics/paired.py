"""Differences of two models on the same images, with 95 % intervals.

Both models see the same images, so their errors are correlated. The variance of a difference is
therefore computed from the differences of the influences of each image (see ``linearization``), and
summed over groups of related images. It is smaller than for two independent sets of images.

Linearization shows no variance where the models do not disagree, so its intervals are too narrow
for small classes and for few disagreements. Each standard error of a difference of recalls or F1 is
therefore at least that of shrunken disagreement rates, and that of AUROCs at least that of class
variances which are shrunken towards a model. All differences are candidate minus baseline.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from skin_lesions.metrics import linearization
from skin_lesions.metrics.intervals import (
    Estimate,
    auroc_variance,
    factorize,
    unavailable,
    unite,
)
from skin_lesions.metrics.linearization import LinearizedError, linearized_error, uneven_error

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
Bools = NDArray[np.bool_]

# The rates of a class are replaced by the means of its n images and of this number of images with
# the rates of all classes.
SHRINKAGE = 2.0
# Number of groups that the variance of a model counts for, beside that between the groups of a
# class. Selected by simulation (``benchmarks/paired_coverage.py``), with seeds of its own.
AUROC_SHRINKAGE = 0.5
# Log loss clips smaller probabilities to this value, as scikit-learn does.
SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class ExactTest:
    """A two-sided exact sign test.

    Attributes:
        better: Number of units where the candidate is better.
        worse: Number of units where the baseline is better.
        p_value: Probability of a split at least as unequal, if both are equally likely; 1 if the
            models differ nowhere.
    """

    better: int
    worse: int
    p_value: float


def mcnemar_exact(baseline_correct: Bools, candidate_correct: Bools) -> ExactTest:
    """Compare the accuracy of two models with the exact test of McNemar.

    The test counts images, so it treats them as independent. ``sign_test_of_groups`` does not.

    Args:
        baseline_correct: Whether the baseline is right on each image, (n,).
        candidate_correct: Whether the candidate is right on each image, (n,).

    Source:
        McNemar (1947), doi:10.1007/BF02295996.
    """
    better = int((candidate_correct & ~baseline_correct).sum())
    worse = int((baseline_correct & ~candidate_correct).sum())
    return _sign_test(better, worse)


def sign_test_of_groups(gain: ArrayLike, groups: ArrayLike) -> ExactTest:
    """Test whether more groups improve than deteriorate, exactly.

    If each image is its own group and the gains are -1, 0 and 1, this is McNemar's exact test.

    Args:
        gain: Gain of the candidate on each image, (n,).
        groups: The group of each image, (n,).
    """
    values = np.asarray(gain, dtype=np.float64)
    group, _ = factorize(groups, values.size)
    sums = np.bincount(group, weights=values)  # (groups,)
    return _sign_test(int((sums > 0).sum()), int((sums < 0).sum()))


def _sign_test(better: int, worse: int) -> ExactTest:
    total = better + worse
    p_value = float(stats.binomtest(better, total, 0.5).pvalue) if total else 1.0
    return ExactTest(better=better, worse=worse, p_value=min(1.0, p_value))


def accuracy_difference(
    baseline_correct: Bools, candidate_correct: Bools, group: Numbers
) -> Estimate:
    """Return the difference of two accuracies, or of the recalls of a class on its images.

    Args:
        baseline_correct: Whether the baseline is right on each image, (n,).
        candidate_correct: Whether the candidate is right on each image, (n,).
        group: The group of each image, (n,).
    """
    gain = candidate_correct.astype(np.float64) - baseline_correct
    if gain.size == 0:
        return unavailable("no images to compare")
    error = linearized_error(linearization.mean_influence(gain), group)
    one_class = np.zeros(gain.size, np.intp)
    return _estimate(float(gain.mean()), error, group, _smallest_error(one_class, gain, group))


def balanced_accuracy_difference(
    label: Numbers, baseline: Numbers, candidate: Numbers, group: Numbers
) -> Estimate:
    """Return the difference of the mean recalls of the classes that have images.

    Args:
        label: The class number of each image, (n,).
        baseline: The prediction of the baseline, (n,).
        candidate: The prediction of the candidate, (n,).
        group: The group of each image, (n,).
    """
    of_baseline = linearization.macro_recall_influence(label, baseline == label)
    of_candidate = linearization.macro_recall_influence(label, candidate == label)
    error = uneven_error(of_candidate - of_baseline, group)
    gain = (candidate == label).astype(np.float64) - (baseline == label)
    support = np.bincount(label)
    present = np.flatnonzero(support)
    recall_gains = np.bincount(label, weights=gain)[present] / support[present]
    smallest = max(_smallest_error(label, gain, group), _error_of_class_means(label, gain, group))
    return _estimate(float(recall_gains.mean()), error, group, smallest)


def macro_f1_difference(
    label: Numbers, baseline: Numbers, candidate: Numbers, group: Numbers
) -> Estimate:
    """Return the difference of the mean F1 of the classes that have images.

    Args:
        label: The class number of each image, (n,).
        baseline: The prediction of the baseline, (n,).
        candidate: The prediction of the candidate, (n,).
        group: The group of each image, (n,).
    """
    influence = linearization.macro_f1_influence(label, candidate)
    influence -= linearization.macro_f1_influence(label, baseline)
    error = uneven_error(influence, group)
    gain = (candidate == label).astype(np.float64) - (baseline == label)
    f1, slope = _f1_and_slope(label, baseline)
    f1_candidate, slope_candidate = _f1_and_slope(label, candidate)
    present = np.unique(label)
    value = float((f1_candidate - f1)[present].mean())
    if not influence.any():
        return _estimate(value, error, group, _smallest_error(label, gain, group))
    # To first order, a hit changes the F1 of its class by the slope, divided by the support.
    weighted = gain * ((slope + slope_candidate) / 2)[label]  # (n,)
    return _estimate(value, error, group, _error_of_class_means(label, weighted, group))


def _f1_and_slope(label: Numbers, predicted: Numbers) -> tuple[Floats, Floats]:
    """Return the F1 of each class, (k,), and its derivative by the recall, (k,).

    F1 = 2 hits / (support + predictions), so that one more hit, which is also one more prediction,
    changes it by (2 - F1) / (support + predictions).
    """
    classes = int(label.max()) + 1
    hits = np.bincount(label[label == predicted], minlength=classes)
    support = np.bincount(label, minlength=classes)
    total = np.maximum(support + np.bincount(predicted, minlength=classes)[:classes], 1)
    f1 = 2 * hits / total
    return f1, (2 - f1) * support / total


def macro_auroc_difference(
    label: Numbers, baseline: Floats, candidate: Floats, group: Numbers
) -> Estimate:
    """Return the difference of the mean one-vs-rest AUROC of the classes that have images.

    Args:
        label: The class number of each image, (n,).
        baseline: The probabilities of the baseline, (n, classes).
        candidate: The probabilities of the candidate, (n, classes).
        group: The group of each image, (n,).

    Source:
        DeLong, DeLong and Clarke-Pearson (1988), doi:10.2307/2531595, for correlated AUROCs.
    """
    present = np.unique(label)
    if present.size < 2:
        return unavailable("all images are of one class", label.size)
    aurocs = np.empty((2, present.size))  # (models, classes)
    influences = np.zeros((2, label.size))  # on the mean AUROC of each model, (models, n)
    for model, probability in enumerate((baseline, candidate)):
        for i, c in enumerate(present):
            aurocs[model, i], influence = linearization.auroc_and_influence(
                probability[:, c], label == c
            )
            influences[model] += influence / present.size
    error = uneven_error(influences[1] - influences[0], group)
    # The AUROC of a class is the mean placement of its images: the fraction of the images of other
    # classes with a lower probability of the class. (n,)
    placements = _placements(label, candidate) - _placements(label, baseline)
    smallest = _error_of_mean_auroc(
        label, aurocs, placements, group, _correlation(influences, group), error.design_effect
    )
    return _estimate(float(np.mean(aurocs[1] - aurocs[0])), error, group, smallest)


def _correlation(influences: Floats, group: Numbers) -> float:
    """Return the correlation of two statistics from their influences, (2, n); 0 if one has none."""
    sums = np.array([np.bincount(group, weights=influence) for influence in influences])
    scale = float(np.sqrt((sums[0] ** 2).sum() * (sums[1] ** 2).sum()))
    return float((sums[0] * sums[1]).sum()) / scale if scale else 0.0


def _placements(label: Numbers, probability: Floats) -> Floats:
    """Return the fraction of images of other classes that each image ranks above, (n,)."""
    placement = np.empty(label.size)
    for c in np.unique(label):
        own, others = probability[label == c, c], np.sort(probability[label != c, c])
        below = np.searchsorted(others, own, side="left")
        up_to = np.searchsorted(others, own, side="right")
        placement[label == c] = (below + up_to) / (2 * others.size)
    return placement


def log_loss_difference(
    label: Numbers, baseline: Floats, candidate: Floats, group: Numbers
) -> Estimate:
    """Return the difference of two mean log losses, nats per image.

    Args:
        label: The class number of each image, (n,).
        baseline: The probabilities of the baseline, (n, classes).
        candidate: The probabilities of the candidate, (n, classes).
        group: The group of each image, (n,).
    """
    rows = np.arange(label.size)
    of_baseline = -np.log(np.clip(baseline[rows, label], SMALLEST, 1.0))
    of_candidate = -np.log(np.clip(candidate[rows, label], SMALLEST, 1.0))
    losses = of_candidate - of_baseline  # (n,)
    error = uneven_error(linearization.mean_influence(losses), group)
    return _estimate(float(losses.mean()), error, group, 0.0, limit=np.inf)


def independent_difference(baseline: Estimate, candidate: Estimate) -> Estimate:
    """Return the difference of two estimates on different images, with the unpaired interval.

    The distances from value to bound are added by their squares, like standard errors.

    Source:
        Zou and Donner (2008), doi:10.1002/sim.3095 (method of variance estimates recovery).
    """
    n = baseline.n + candidate.n
    if baseline.value is None or candidate.value is None:
        return unavailable(baseline.reason or candidate.reason or "a value is missing", n)
    value = candidate.value - baseline.value
    bounds = (baseline.low, baseline.high, candidate.low, candidate.high)
    if any(bound is None for bound in bounds):
        reason = baseline.reason or candidate.reason or "an interval is missing"
        return Estimate(value=value, low=None, high=None, n=n, reason=reason)
    low_b, high_b, low_c, high_c = np.array(bounds, dtype=np.float64).tolist()
    below = float(np.hypot(candidate.value - low_c, high_b - baseline.value))
    above = float(np.hypot(high_c - candidate.value, baseline.value - low_b))
    return Estimate(value=value, low=value - below, high=value + above, n=n)


def _error_of_class_means(label: Numbers, values: Floats, group: Numbers) -> float:
    """Return the standard error of the mean over the classes of a mean of their images.

    A class with one group shows no variance, and one with a few groups little information about it.
    The variance between the groups of a class is therefore shrunken towards that of all classes.

    Args:
        label: The class number of each image, (n,).
        values: One value per image, (n,).
        group: The group of each image, (n,).
    """
    squares, groups = _squares_of_groups(label, values, group)
    present = groups > 0
    free = np.maximum(groups - 1, 0)
    if not free.any():
        return 0.0
    pooled = squares.sum() / free.sum()
    variances = (squares + SHRINKAGE * pooled) / (free + SHRINKAGE)
    return float(np.sqrt((variances[present] / groups[present]).sum())) / int(present.sum())


def _error_of_mean_auroc(
    label: Numbers,
    aurocs: Floats,
    placements: Floats,
    group: Numbers,
    correlation: float,
    design_effect: float,
) -> float:
    """Return the standard error of the difference of two mean AUROCs.

    The few images of a rare class often have the same placement in both models, although other
    images would not. Their observed variance is therefore shrunken towards that of a model for the
    numbers of positives and negatives, with the correlation of the two models.

    Args:
        label: The class number of each image, (n,).
        aurocs: The AUROC of each class with images, (2, classes).
        placements: Difference of the placements of each image, (n,).
        group: The group of each image, (n,).
        correlation: Correlation of the two mean AUROCs.
        design_effect: Variance with groups over variance without groups.

    Source:
        Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747, for the variances; Hanley and
        McNeil (1983), doi:10.1148/radiology.148.3.6878708, for the correlation.
    """
    support = np.bincount(label)
    positives = support[support > 0] / design_effect
    # One class can separate perfectly by chance, so each AUROC is shrunken towards the mean.
    mean = aurocs.mean(axis=1, keepdims=True)
    shrunken = (positives * aurocs + SHRINKAGE * mean) / (positives + SHRINKAGE)
    first, second = (
        np.array(
            [
                auroc_variance(value, max(count, 1.0), max(label.size / design_effect - count, 1.0))
                for value, count in zip(values, positives, strict=True)
            ]
        )
        for values in shrunken
    )
    of_model = first + second - 2 * correlation * np.sqrt(first * second)  # (classes,)
    squares, groups = (
        values[support > 0] for values in _squares_of_groups(label, placements, group)
    )
    # The observed variance of a mean is squares / (groups - 1) / groups, of groups - 1 deviations.
    variances = (squares / groups + AUROC_SHRINKAGE * of_model) / (groups - 1 + AUROC_SHRINKAGE)
    return float(np.sqrt(variances.sum())) / positives.size


def _squares_of_groups(label: Numbers, values: Floats, group: Numbers) -> tuple[Floats, Numbers]:
    """Return the squared deviations between the groups of each class, and their number, (k,) both.

    The deviations are in units of the mean group size, so that the mean of a class is their mean.

    Args:
        label: The class number of each image, (n,).
        values: One value per image, (n,).
        group: The group of each image, (n,).
    """
    support = np.maximum(np.bincount(label), 1)  # (k,)
    means = np.bincount(label, weights=values) / support
    # A cell is a group within a class: its class, (cells,), and the cell of each image, (n,).
    cells, cell = np.unique(np.column_stack([label, group]), axis=0, return_inverse=True)
    class_of_cell = cells[:, 0]
    groups = np.bincount(class_of_cell, minlength=support.size)
    sums = np.bincount(cell.ravel(), weights=values - means[label])
    relative = sums * (groups / support)[class_of_cell]
    squares = np.bincount(class_of_cell, weights=relative**2, minlength=support.size)
    return np.asarray(squares, np.float64), groups


def _smallest_error(label: Numbers, gain: Floats, group: Numbers) -> float:
    """Return the standard error of a mean gain of the classes from shrunken disagreement rates.

    A class of n images with the rates u of gains and d of losses has the variance
    (u + d - (u - d)²) / n. The pooled rates get half an image each (Agresti and Min), so that the
    result is above 0 even if the models agree on all images.

    Args:
        label: The class number of each image, (n,).
        gain: -1, 0 or 1 for each image, (n,).
        group: The group of each image, (n,).

    Source:
        Agresti and Min (2005), doi:10.1002/sim.1781.
    """
    n = gain.size
    support = np.bincount(label).astype(np.float64)
    present = support > 0
    rates = []
    for sign in (1.0, -1.0):
        counts = np.bincount(label, weights=gain == sign)
        pooled = (counts.sum() + 0.5) / (n + 2.0)
        shrunken = (counts + SHRINKAGE * pooled) / (support + SHRINKAGE)
        rates.append(shrunken[present])
    up, down = rates
    variances = (up + down - (up - down) ** 2) / support[present]  # (classes,)
    error = linearized_error(linearization.mean_influence(gain), group)
    _, sizes = factorize(group, n)
    # Without a disagreement, the correlation within groups is unknown: assume the worst case.
    design_effect = error.design_effect if gain.any() else float((sizes**2).sum()) / n
    return float(np.sqrt(variances.sum() * design_effect)) / int(present.sum())


def _estimate(
    value: float, error: LinearizedError, group: Numbers, smallest: float, limit: float = 1.0
) -> Estimate:
    """Return a difference with its t interval, at least as wide as the smallest error implies."""
    n = group.size
    if not np.isfinite(error.standard_error):
        reason = "all images are of one group, so the data show no variance"
        return Estimate(value=value, low=None, high=None, n=n, reason=reason)
    interval = error.interval(value, standard_error=max(error.standard_error, smallest))
    return unite(value, n, [interval], lowest=-limit, highest=limit)
