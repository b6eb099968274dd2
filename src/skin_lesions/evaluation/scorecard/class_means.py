"""Means over the classes: balanced accuracy, macro F1, macro AUROC and average precision.

The linearized error of a mean over classes is 0 for a class whose images are all right, even if
there are only two. The intervals therefore also use an error that is valid for small classes, and
that of the average precision is left out if a class is small. benchmarks/interval_coverage.py
measures the coverage.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays
from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric, average_precision_estimate
from skin_lesions.metrics import linearization
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import (
    Estimate,
    auroc_variance,
    mover_interval,
    unavailable,
    unite,
)
from skin_lesions.metrics.linearization import linearized_error

# A value of a class of n images is replaced by the mean of its n images and of this number of
# images with the mean of all classes. Its variance is then above 0.
SHRINKAGE = 2.0


def _shrink(values: Floats, support: Floats) -> Floats:
    """Return the values of the classes, shrunken towards their mean, (classes,)."""
    return (support * values + SHRINKAGE * values.mean()) / (support + SHRINKAGE)


def _balanced_accuracy(evaluation: Evaluation) -> Estimate:
    rows, recalls = evaluation.rows, evaluation.of_present_classes("recall")
    values = np.array([recall.value for recall in recalls], np.float64)  # (classes,)
    support = rows.support[rows.present].astype(np.float64)
    error = linearized_error(
        linearization.macro_recall_influence(rows.label, rows.correct), rows.group
    )
    # Variance of the mean of the classes: sum of p (1 - p) / n, over the squared number of classes.
    shrunken = _shrink(values, support)
    variance = float((shrunken * (1 - shrunken) / support).sum()) / values.size**2
    standard_error = float(np.sqrt(variance * error.design_effect))
    value = float(values.mean())
    return unite(
        value,
        rows.n,
        [mover_interval(recalls), error.interval(value, standard_error=standard_error)],
    )


def _macro_f1(evaluation: Evaluation) -> Estimate:
    rows, of_classes = evaluation.rows, evaluation.of_present_classes("f1")
    influence = linearization.macro_f1_influence(rows.label, rows.predicted)
    value = float(np.mean([f1.value for f1 in of_classes]))
    linearized = linearized_error(influence, rows.group).interval(value)
    return unite(value, rows.n, [mover_interval(of_classes), linearized])


def _one_vs_rest(
    rows: PredictionArrays, statistic: Callable[[Floats, Bools], tuple[float, Floats]]
) -> tuple[Floats, Floats]:
    """Return a statistic of scores of each present class against all others.

    Returns:
        Its values, (classes,), and the influence of each image on them, (classes, n).
    """
    found = [statistic(rows.probability[:, c], rows.label == c) for c in rows.present]
    return np.array([value for value, _ in found]), np.array([influence for _, influence in found])


def _macro_auroc(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    if rows.present.size < 2:
        return unavailable("all images are of one class", rows.n)
    of_classes, influences = _one_vs_rest(rows, linearization.auroc_and_influence)
    support = rows.support[rows.present].astype(np.float64)
    error = linearized_error(influences.mean(axis=0), rows.group)
    variances = [
        auroc_variance(auroc, n, rows.n - n)
        for auroc, n in zip(_shrink(of_classes, support), support, strict=True)
    ]
    of_small_classes = float(np.sqrt(np.sum(variances))) / of_classes.size
    value = float(of_classes.mean())
    standard_error = max(of_small_classes, error.standard_error)
    interval = error.interval(value, "logit", standard_error=standard_error)
    if interval is None:  # perfect ranking, or a single group
        interval = mover_interval(evaluation.of_present_classes("auroc"))
    return unite(value, rows.n, [interval])


def _macro_average_precision(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    if rows.present.size < 2:
        return unavailable("all images are of one class", rows.n)
    values, influences = _one_vs_rest(rows, linearization.average_precision_and_influence)
    smallest = int(rows.support[rows.present].min())
    return average_precision_estimate(values, influences, smallest, rows.group)


def of_classes(estimate: Callable[[Evaluation], Estimate]) -> Callable[[Evaluation], Estimate]:
    """Return the same estimate with the number of classes that it is the mean of."""

    def with_classes(evaluation: Evaluation) -> Estimate:
        number = int(evaluation.rows.present.size)
        return replace(estimate(evaluation), classes_evaluated=number)

    return with_classes


BALANCED_ACCURACY = Metric(
    key="balanced_accuracy",
    name="Balanced accuracy",
    format="percent",
    meaning="Fraction of correct predictions for each class (recall), averaged over the classes. "
    "A rare class counts as much as a common one.",
    headline=True,
    estimate=of_classes(_balanced_accuracy),
)
MACRO_F1 = Metric(
    key="macro_f1",
    name="Macro F1",
    format="decimal",
    meaning="Mean F1 of the classes. F1 combines recall and precision. 1 is perfect, 0 means no "
    "correct prediction.",
    estimate=of_classes(_macro_f1),
)
MACRO_AUROC = Metric(
    key="auroc_macro",
    name="AUROC",
    format="decimal",
    meaning="Probability that an image of a class gets a higher score for this class than an image "
    "of another class. Averaged over the classes. 0.5 is chance level, 1 is perfect.",
    headline=True,
    estimate=of_classes(_macro_auroc),
)
MACRO_AVERAGE_PRECISION = Metric(
    key="average_precision_macro",
    name="Average precision",
    format="decimal",
    meaning="Mean precision over all thresholds of the probability of a class, averaged over the "
    "classes. Chance level is the frequency of the class, 1 is perfect.",
    estimate=of_classes(_macro_average_precision),
)
