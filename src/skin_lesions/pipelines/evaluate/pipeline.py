"""Pipeline `evaluate`: model, validation and test images -> predictions, metrics, other results.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.evaluation.test_ledger import evaluation_of
from skin_lesions.pipelines.evaluate.nodes import label_issues, predict, robustness, score


def create_pipeline() -> Pipeline:
    """Create the pipeline: predict the images, then compute the metrics and all other results."""
    return Pipeline(
        [
            Node(
                predict,
                inputs=[
                    "model",
                    "pixel_store",
                    "split_table",
                    "image_table",
                    "raw_images",
                    "params:evaluate",
                ],
                outputs="predictions",
                name="predict",
                tags="network",
            ),
            Node(
                score,
                inputs=["predictions", "model", "params:evaluate"],
                outputs="metrics",
                name="score",
            ),
            Node(
                evaluation_of,
                inputs=["metrics", "predictions"],
                outputs="test_ledger",
                name="record_test_evaluation",
            ),
            Node(
                robustness,
                inputs=["predictions", "model", "pixel_store", "params:evaluate"],
                outputs="robustness",
                name="robustness",
                tags="network",
            ),
            Node(
                label_issues,
                inputs=["predictions", "model", "params:evaluate"],
                outputs="label_issues",
                name="label_issues",
            ),
        ],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )
