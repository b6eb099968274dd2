"""Pipeline `report`: tables and metrics -> figures, HTML report, model card."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.report.nodes import (
    FIGURES,
    draw_sample_images,
    write_model_card,
    write_report,
)
from skin_lesions.reporting import figures


def create_pipeline() -> Pipeline:
    """Create the pipeline: draw the figures, then write the report and the model card."""
    return Pipeline(
        [
            Node(
                figures.draw_confusion_matrix,
                inputs="metrics",
                outputs="confusion_matrix",
                name="draw_confusion_matrix",
            ),
            Node(
                figures.draw_loss_curves,
                inputs=["training_history", "metrics"],
                outputs="loss_curves",
                name="draw_loss_curves",
            ),
            Node(
                figures.draw_per_class_recall,
                inputs="metrics",
                outputs="per_class_recall",
                name="draw_per_class_recall",
            ),
            Node(
                figures.draw_calibration_curve,
                inputs=["predictions", "metrics"],
                outputs="calibration_curve",
                name="draw_calibration_curve",
            ),
            Node(
                figures.draw_class_counts,
                inputs=["image_table", "split_table"],
                outputs="class_counts",
                name="draw_class_counts",
            ),
            Node(
                figures.draw_shortcut_probes,
                inputs=["audit_findings", "image_table"],
                outputs="shortcut_probes",
                name="draw_shortcut_probes",
            ),
            Node(
                draw_sample_images,
                inputs=["image_table", "pixel_store", "model", "params:report"],
                outputs="sample_images",
                name="draw_sample_images",
            ),
            Node(
                write_report,
                inputs=[
                    "metrics",
                    "model",
                    "audit_findings",
                    "split_table",
                    "quarantine",
                    "training_history",
                    "image_table",
                    *FIGURES,
                ],
                outputs="report",
                name="write_report",
            ),
            Node(
                write_model_card,
                inputs=["metrics", "model", "audit_findings", "split_table", "image_table"],
                outputs="model_card",
                name="write_model_card",
            ),
        ],
        namespace="report",
        prefix_datasets_with_namespace=False,
    )
