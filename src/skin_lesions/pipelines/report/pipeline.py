"""Pipeline `report`: tables and metrics -> figures, HTML report, model card."""

from dataclasses import fields

from kedro.pipeline import Node, Pipeline

from skin_lesions.reporting.figures import registry
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.html_report import render_report
from skin_lesions.reporting.model_card import render_model_card


def create_pipeline() -> Pipeline:
    """Create the pipeline: draw the figures, then write the report and the model card."""
    results = {field.name: field.name for field in fields(ReportInputs)}
    results["report"] = "params:report"  # the catalog entry of this name is the HTML report
    return Pipeline(
        [
            *(Node(**figure.node_arguments()) for figure in registry.figures_of("report")),
            Node(
                render_report,
                inputs=results | {figure.name: figure.name for figure in registry.FIGURES},
                outputs="report",
                name="write_report",
            ),
            Node(render_model_card, inputs=results, outputs="model_card", name="write_model_card"),
        ],
        namespace="report",
        prefix_datasets_with_namespace=False,
    )
