"""Accuracy of the most probable class, and of the two most probable ones."""

import numpy as np

from skin_lesions.evaluation.scorecard.metric import Evaluation, Metric
from skin_lesions.metrics.intervals import Estimate, proportion


def _top2_accuracy(evaluation: Evaluation) -> Estimate:
    rows = evaluation.rows
    label_probability = rows.probability[np.arange(rows.n), rows.label]  # (n,)
    # Number of classes with a higher probability than the label, (n,).
    rank = (rows.probability > label_probability[:, None]).sum(axis=1)
    return proportion(rank < 2, rows.group)


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
    meaning="Fraction of images whose class is one of the two most probable classes.",
    estimate=_top2_accuracy,
)
