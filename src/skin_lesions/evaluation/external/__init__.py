"""External validation: results of a finished model on images from elsewhere."""

from skin_lesions.evaluation.external.compute import ExternalInputs, compute_external_results
from skin_lesions.evaluation.external.model import (
    ComparedMetrics,
    ExternalResults,
    ImageCounts,
    MappedLabel,
    OverlapSummary,
)

__all__ = [
    "ComparedMetrics",
    "ExternalInputs",
    "ExternalResults",
    "ImageCounts",
    "MappedLabel",
    "OverlapSummary",
    "compute_external_results",
]
