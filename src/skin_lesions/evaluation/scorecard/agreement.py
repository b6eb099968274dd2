"""Agreement of labels and predictions beyond chance: Matthews correlation and Cohen's kappa."""

from collections.abc import Callable

import numpy as np

from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import Estimate, unavailable, unite
from skin_lesions.metrics.linearization import (
    confusion_counts,
    confusion_influence,
    linearized_error,
)


def matthews_correlation(counts: Floats) -> float:
    """Return the Matthews correlation of a confusion matrix, (k, k), rows are labels.

    Source:
        Gorodkin (2004), doi:10.1016/j.compbiolchem.2004.09.006, for several classes.
    """
    n, labels, predictions = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    covariance = np.trace(counts) * n - labels @ predictions
    variances = (n**2 - labels @ labels) * (n**2 - predictions @ predictions)
    return float(covariance / np.sqrt(variances))


def cohen_kappa(counts: Floats) -> float:
    """Return Cohen's kappa of a confusion matrix, (k, k): (observed - chance) / (1 - chance).

    Source:
        Cohen (1960), doi:10.1177/001316446002000104.
    """
    n = counts.sum()
    chance = counts.sum(axis=1) @ counts.sum(axis=0) / n**2
    return float((np.trace(counts) / n - chance) / (1 - chance))


def _estimate(statistic: Callable[[Floats], float], evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    if rows.present.size < 2:
        return unavailable("all images are of one class", rows.n)
    if np.unique(rows.predicted).size < 2:
        return unavailable("all predictions are of one class", rows.n)
    value = statistic(confusion_counts(rows.label, rows.predicted))
    influence = confusion_influence(statistic, rows.label, rows.predicted)
    interval = linearized_error(influence, rows.group).interval(value)
    return unite(value, rows.n, [interval], lowest=-1.0)


MATTHEWS_CORRELATION = Metric(
    key="matthews_correlation",
    name="Matthews correlation",
    format="decimal",
    meaning="Correlation of labels and predictions. 0 is chance level, 1 is perfect.",
    estimate=lambda evaluation: _estimate(matthews_correlation, evaluation),
)
COHEN_KAPPA = Metric(
    key="cohen_kappa",
    name="Cohen's kappa",
    format="decimal",
    meaning="Accuracy above that of random predictions with the same frequencies. 1 is perfect.",
    estimate=lambda evaluation: _estimate(cohen_kappa, evaluation),
)
