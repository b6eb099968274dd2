"""Log loss and Brier score."""

import math

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import Estimate, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence

# Log loss clips smaller probabilities to this value, as scikit-learn does.
SMALLEST = float(np.finfo(np.float64).eps)


def _mean_estimate(losses: Floats, rows: PredictionArrays, highest: float = math.inf) -> Estimate:
    """Return the mean of one loss per image, (n,), with an interval on the log scale."""
    value = float(losses.mean())
    error = linearized_error(mean_influence(losses), rows.group)
    return unite(value, rows.n, [error.interval(value, "log")], highest=highest)


def _log_loss(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    label_probability = rows.probability[np.arange(rows.n), rows.label]  # (n,)
    return _mean_estimate(-np.log(np.clip(label_probability, SMALLEST, 1.0)), rows)


def _brier(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    one_hot = np.eye(len(rows.classes))[rows.label]  # (n, k)
    return _mean_estimate(((rows.probability - one_hot) ** 2).sum(axis=1), rows, highest=2.0)


LOG_LOSS = Metric(
    key="log_loss",
    name="Log loss",
    format="decimal",
    meaning="Nats per image. 0 is best.",
    estimate=_log_loss,
)
BRIER = Metric(
    key="brier",
    name="Brier score",
    format="decimal",
    meaning="Squared distance between predicted probabilities and true class, 0 (best) to 2.",
    estimate=_brier,
)
