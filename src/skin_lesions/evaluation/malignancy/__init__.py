"""Malignant against benign: operating points, predictive values and the decision curve."""

from skin_lesions.evaluation.malignancy.compute import (
    malignancy_of_rows,
    malignancy_subset,
    reason_without_operating_points,
)
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
    "malignancy_of_rows",
    "malignancy_subset",
    "reason_without_operating_points",
]
