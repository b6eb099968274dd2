"""Figures of the report. Each title states the result."""

from skin_lesions.reporting.figures.calibration_curve import draw_calibration_curve
from skin_lesions.reporting.figures.class_counts import draw_class_counts
from skin_lesions.reporting.figures.confusion_matrix import draw_confusion_matrix
from skin_lesions.reporting.figures.linked_image_pairs import draw_linked_image_pairs
from skin_lesions.reporting.figures.loss_curves import draw_loss_curves
from skin_lesions.reporting.figures.per_class_recall import draw_per_class_recall
from skin_lesions.reporting.figures.sample_images import draw_sample_images
from skin_lesions.reporting.figures.shortcut_probes import draw_shortcut_probes

__all__ = [
    "draw_calibration_curve",
    "draw_class_counts",
    "draw_confusion_matrix",
    "draw_linked_image_pairs",
    "draw_loss_curves",
    "draw_per_class_recall",
    "draw_sample_images",
    "draw_shortcut_probes",
]
