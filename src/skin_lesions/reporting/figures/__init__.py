"""Numbers and images -> figures; each title says what the figure shows."""

from skin_lesions.reporting.figures.calibration_curve import calibration_curve
from skin_lesions.reporting.figures.class_counts import class_counts
from skin_lesions.reporting.figures.confusion_matrix import confusion_matrix
from skin_lesions.reporting.figures.linked_image_pairs import linked_image_pairs
from skin_lesions.reporting.figures.loss_curves import loss_curves
from skin_lesions.reporting.figures.per_class_recall import per_class_recall
from skin_lesions.reporting.figures.sample_images import sample_images
from skin_lesions.reporting.figures.shortcut_probes import shortcut_probes

__all__ = [
    "calibration_curve",
    "class_counts",
    "confusion_matrix",
    "linked_image_pairs",
    "loss_curves",
    "per_class_recall",
    "sample_images",
    "shortcut_probes",
]
