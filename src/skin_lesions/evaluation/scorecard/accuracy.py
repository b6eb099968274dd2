"""Accuracy of the predicted class, and of the predicted and the most probable other class."""

import numpy as np

from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric
from skin_lesions.metrics.intervals import Estimate, proportion


def _top2_accuracy(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    images = np.arange(rows.n)
    label_probability = rows.probability[images, rows.label]  # (n,)
    # Number of classes, except the predicted one, with a higher probability than the label, (n,).
    is_higher = rows.probability > label_probability[:, None]  # (n, k)
    is_higher[images, rows.predicted] = False
    return proportion(rows.correct | (is_higher.sum(axis=1) == 0), rows.group)


ACCURACY = Metric(
    key="accuracy",
    name="Accuracy",
    format="percent",
    meaning="Fraction of images with a correct prediction. Common classes have the most weight: "
    "always predicting the most common class can already score well.",
    headline=True,
    estimate=lambda evaluation: proportion(evaluation.rows.correct, evaluation.rows.group),
)
TOP2_ACCURACY = Metric(
    key="top2_accuracy",
    name="Top-2 accuracy",
    format="percent",
    meaning="Fraction of images whose class is the predicted class or the most probable other one.",
    estimate=_top2_accuracy,
)
