"""Scorecard: the metrics of each subset of the test and validation images, with 95 % intervals.

Each metric has a file of its own and an entry in ``registry``.
"""

from skin_lesions.evaluation.scorecard.compute import compute_metrics
from skin_lesions.evaluation.scorecard.model import (
    BeforeScaling,
    CalibrationMetrics,
    ClassMetrics,
    ConfusionMatrix,
    MalignancyMetrics,
    RangeByChance,
    Scorecard,
    SplitMetrics,
)

__all__ = [
    "BeforeScaling",
    "CalibrationMetrics",
    "ClassMetrics",
    "ConfusionMatrix",
    "MalignancyMetrics",
    "RangeByChance",
    "Scorecard",
    "SplitMetrics",
    "compute_metrics",
]
