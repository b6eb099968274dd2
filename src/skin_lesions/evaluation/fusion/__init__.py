"""What clinical metadata add to the image: comparison, missing values, and changed values."""

from skin_lesions.evaluation.fusion.compute import (
    compute_fusion_results,
    image_scores,
    without_metadata,
)
from skin_lesions.evaluation.fusion.model import (
    ChangedColumn,
    FusionResults,
    InputDifferences,
    MissingLevel,
)

__all__ = [
    "ChangedColumn",
    "FusionResults",
    "InputDifferences",
    "MissingLevel",
    "compute_fusion_results",
    "image_scores",
    "without_metadata",
]
