"""Nodes of the pipeline `report`."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.config.report import Report
from skin_lesions.reporting import figures
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.model_card import render_model_card

# In the order of the arguments of write_report.
FIGURES = (
    "confusion_matrix",
    "loss_curves",
    "per_class_recall",
    "calibration_curve",
    "class_counts",
    "sample_images",
    "shortcut_probes",
    "linked_image_pairs",
)


def draw_sample_images(
    image_table: pd.DataFrame, pixel_store: Any, model: dict[str, Any], report: Report
) -> Figure:
    """Draw a few images of each class, as the model receives them."""
    images = pixel_store.at(model["preprocessing"]["stored_image_size"])
    return figures.draw_sample_images(image_table, images, per_class=report.samples_per_class)


def write_report(
    metrics: dict[str, Any],
    model: dict[str, Any],
    audit_findings: dict[str, Any],
    split_table: pd.DataFrame,
    quarantine: pd.DataFrame,
    training_history: pd.DataFrame,
    image_table: pd.DataFrame,
    *png_files: bytes,
) -> str:
    """Render the HTML report."""
    return render_report(
        metrics=metrics,
        model=model,
        audit_findings=audit_findings,
        split_table=split_table,
        quarantine=quarantine,
        training_history=training_history,
        image_table=image_table,
        figures=dict(zip(FIGURES, png_files, strict=True)),
    )


def write_model_card(
    metrics: dict[str, Any],
    model: dict[str, Any],
    audit_findings: dict[str, Any],
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
) -> str:
    """Render the model card."""
    return render_model_card(
        metrics=metrics,
        model=model,
        audit_findings=audit_findings,
        split_table=split_table,
        image_table=image_table,
    )
