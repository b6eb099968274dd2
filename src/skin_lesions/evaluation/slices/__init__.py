"""Slices: results of subgroups of the test images, and the largest gaps between them."""

from skin_lesions.evaluation.slices.compute import compute_slices
from skin_lesions.evaluation.slices.model import (
    Gap,
    LeftOutColumn,
    Slice,
    SliceColumn,
    SliceResults,
)

__all__ = ["Gap", "LeftOutColumn", "Slice", "SliceColumn", "SliceResults", "compute_slices"]
