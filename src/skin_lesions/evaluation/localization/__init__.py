"""Localization of lesions: how well predicted boxes and masks agree with the true ones."""

from skin_lesions.evaluation.localization.compute import LocalizationTables, compute_localization
from skin_lesions.evaluation.localization.model import (
    Box,
    LocalizationResults,
    Method,
    MethodScores,
    WorstImage,
)

__all__ = [
    "Box",
    "LocalizationResults",
    "LocalizationTables",
    "Method",
    "MethodScores",
    "WorstImage",
    "compute_localization",
]
