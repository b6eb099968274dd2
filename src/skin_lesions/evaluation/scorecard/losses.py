"""Log loss and Brier score."""

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import Resample
from skin_lesions.evaluation.scorecard.metric import Metric
from skin_lesions.metrics.classification import Floats

# Log loss clips smaller probabilities to this value, as scikit-learn does.
SMALLEST = float(np.finfo(np.float64).eps)


def _log_loss(sample: Resample) -> Floats:
    rows = sample.rows
    label_probability = rows.probability[np.arange(rows.n), rows.label]  # (n,)
    return sample.weighted_mean(-np.log(np.clip(label_probability, SMALLEST, 1.0)))


def _brier(sample: Resample) -> Floats:
    rows = sample.rows
    one_hot = np.eye(len(rows.classes))[rows.label]  # (n, k)
    return sample.weighted_mean(((rows.probability - one_hot) ** 2).sum(axis=1))


LOG_LOSS = Metric(
    key="log_loss",
    name="Log loss",
    format="decimal",
    meaning="Nats per image. 0 is best.",
    statistic=_log_loss,
    estimate=lambda evaluation: evaluation.bootstrap.percentile("log_loss", evaluation.rows.n),
)
BRIER = Metric(
    key="brier",
    name="Brier score",
    format="decimal",
    meaning="Squared distance between predicted probabilities and true class, 0 (best) to 2.",
    statistic=_brier,
    estimate=lambda evaluation: evaluation.bootstrap.percentile("brier", evaluation.rows.n),
)
