"""Pipeline `compare`: two sets of predictions -> comparison of their models, and a page."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.compare.nodes import compare
from skin_lesions.reporting.comparison_page import render_comparison_page

COMPARE = "compare.compare"  # full name of the node that reads the stored predictions


def create_pipeline() -> Pipeline:
    """Create the pipeline: compare two sets of predictions, then write the page.

    It reads stored predictions, not those of the same run, and is not part of the default pipeline.
    """
    return Pipeline(
        [
            Node(
                compare,
                inputs=["stored_predictions", "params:compare"],
                outputs="comparison",
                name="compare",
            ),
            Node(
                render_comparison_page,
                inputs=["comparison", "pixel_store", "params:ingest", "params:report"],
                outputs="comparison_page",
                name="write_page",
            ),
        ],
        namespace="compare",
        prefix_datasets_with_namespace=False,
    )
