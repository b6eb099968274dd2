"""Scorecard: the metrics of each subset of the test and validation images, with 95 % intervals.

Each metric has a file of its own and an entry in ``registry``.
"""

from skin_lesions.evaluation.scorecard.compute import compute_metrics
from skin_lesions.evaluation.scorecard.model import (
    CalibrationMetrics,
    ClassMetrics,
    ConfusionMatrix,
    MalignancyMetrics,
    RangeByChance,
    Scorecard,
    SplitMetrics,
)

__all__ = [
    "CalibrationMetrics",
    "ClassMetrics",
    "ConfusionMatrix",
    "MalignancyMetrics",
    "RangeByChance",
    "Scorecard",
    "SplitMetrics",
    "compute_metrics",
]
