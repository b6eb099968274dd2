"""All figures, in the order of the report.

To add a figure, write a module that defines it and add it here; see docs/contributing.
"""

from skin_lesions.reporting.figures import (
    calibration_curve,
    class_counts,
    confused_pairs,
    confusion_matrix,
    decision_curve,
    explanations,
    linked_image_pairs,
    loss_curves,
    missing_metadata,
    per_class_recall,
    risk_coverage,
    robustness_curves,
    sample_images,
    shortcut_probes,
    subgroups,
)
from skin_lesions.reporting.figures.spec import FigurePipeline, FigureSpec

FIGURES: tuple[FigureSpec, ...] = (
    confusion_matrix.FIGURE,
    per_class_recall.FIGURE,
    calibration_curve.FIGURE,
    risk_coverage.FIGURE,
    decision_curve.FIGURE,
    subgroups.FIGURE,
    missing_metadata.FIGURE,
    loss_curves.FIGURE,
    class_counts.FIGURE,
    robustness_curves.FIGURE,
    shortcut_probes.FIGURE,
    linked_image_pairs.FIGURE,
    sample_images.FIGURE,
    explanations.FIGURE,
    confused_pairs.FIGURE,
)


def figures_of(pipeline: FigurePipeline) -> list[FigureSpec]:
    """Return the figures that a pipeline draws."""
    return [figure for figure in FIGURES if figure.pipeline == pipeline]
