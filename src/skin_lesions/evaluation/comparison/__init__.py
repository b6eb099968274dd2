"""Comparison of two models by their predictions of the test images."""

from skin_lesions.evaluation.comparison.compute import compare_predictions
from skin_lesions.evaluation.comparison.model import (
    ClassDifference,
    ComparedRun,
    Comparison,
    Disagreement,
    MetricDifference,
    Verdict,
)

__all__ = [
    "ClassDifference",
    "ComparedRun",
    "Comparison",
    "Disagreement",
    "MetricDifference",
    "Verdict",
    "compare_predictions",
]
