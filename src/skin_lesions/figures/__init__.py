"""Numbers and images -> figures; each title says what the figure shows."""

from skin_lesions.figures.calibration import calibration_curve
from skin_lesions.figures.classes import class_counts, per_class_recall
from skin_lesions.figures.confusion import confusion_matrix
from skin_lesions.figures.pairs import example_pairs
from skin_lesions.figures.samples import sample_sheet
from skin_lesions.figures.shortcuts import shortcuts
from skin_lesions.figures.training import loss_curves

__all__ = [
    "calibration_curve",
    "class_counts",
    "confusion_matrix",
    "example_pairs",
    "loss_curves",
    "per_class_recall",
    "sample_sheet",
    "shortcuts",
]
