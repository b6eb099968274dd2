"""Accuracy."""

from skin_lesions.evaluation.scorecard.metric import Metric
from skin_lesions.metrics.intervals import proportion

ACCURACY = Metric(
    key="accuracy",
    name="Accuracy",
    format="percent",
    meaning="Fraction of images with a correct prediction. Common classes have the most weight: "
    "always predicting the most common class can already score well.",
    headline=True,
    estimate=lambda evaluation: proportion(evaluation.rows.correct, evaluation.rows.group),
)
