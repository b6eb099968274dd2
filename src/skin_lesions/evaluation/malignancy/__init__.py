"""Malignant against benign: operating points, predictive values and the decision curve."""

from skin_lesions.evaluation.malignancy.compute import malignancy_subset
from skin_lesions.evaluation.malignancy.model import (
    DecisionPoint,
    MalignancyResults,
    MalignancySubset,
    OperatingPoint,
    PredictiveValues,
)

__all__ = [
    "DecisionPoint",
    "MalignancyResults",
    "MalignancySubset",
    "OperatingPoint",
    "PredictiveValues",
    "malignancy_subset",
]
