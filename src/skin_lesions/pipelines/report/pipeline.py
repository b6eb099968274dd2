"""Pipeline `report`: tables and metrics -> figures, HTML report, model card."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.reporting.figures import registry
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.model_card import render_model_card

_CARD_INPUTS = ("metrics", "model", "audit_findings", "split_table", "image_table")


def create_pipeline() -> Pipeline:
    """Create the pipeline: draw the figures, then write the report and the model card."""
    report_inputs = [
        *_CARD_INPUTS,
        "quarantine",
        "training_history",
        "malignancy",
        "slices",
        *(figure.name for figure in registry.FIGURES),
    ]
    return Pipeline(
        [
            *(Node(**figure.node_arguments()) for figure in registry.figures_of("report")),
            Node(
                render_report,
                inputs={name: name for name in report_inputs},
                outputs="report",
                name="write_report",
            ),
            Node(
                render_model_card,
                inputs={name: name for name in _CARD_INPUTS},
                outputs="model_card",
                name="write_model_card",
            ),
        ],
        namespace="report",
        prefix_datasets_with_namespace=False,
    )
