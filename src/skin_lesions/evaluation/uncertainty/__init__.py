"""Uncertainty: conformal prediction sets and selective prediction on test images."""

from skin_lesions.evaluation.uncertainty.compute import uncertainty_metrics
from skin_lesions.evaluation.uncertainty.model import (
    ConformalMetrics,
    ReferralMetrics,
    RiskAtCoverage,
    SelectiveMetrics,
    SetMetrics,
    Uncertainty,
    UncertaintyMetrics,
)

__all__ = [
    "ConformalMetrics",
    "ReferralMetrics",
    "RiskAtCoverage",
    "SelectiveMetrics",
    "SetMetrics",
    "Uncertainty",
    "UncertaintyMetrics",
    "uncertainty_metrics",
]
