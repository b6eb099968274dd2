"""Pipeline `evaluate`: model, validation and test images -> predictions and results of them.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.evaluation.test_ledger import evaluation_of
from skin_lesions.pipelines.evaluate.nodes import (
    count_unknown_images,
    explain,
    list_label_issues,
    measure_fusion,
    measure_malignancy,
    measure_robustness_if_enabled,
    measure_slices,
    measure_uncertainty,
    predict,
    score,
)


def create_pipeline() -> Pipeline:
    """Create the pipeline: predict validation and test images, then evaluate the predictions."""
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
                measure_uncertainty,
                inputs=["predictions", "model"],
                outputs="uncertainty",
                name="measure_uncertainty",
            ),
            Node(
                measure_malignancy,
                inputs=["predictions", "model", "params:evaluate"],
                outputs="malignancy",
                name="measure_malignancy",
            ),
            Node(
                measure_slices,
                inputs=["predictions", "image_table", "model", "params:evaluate"],
                outputs="slices",
                name="measure_slices",
            ),
            Node(
                measure_fusion,
                inputs=["predictions", "image_table", "model", "params:evaluate"],
                outputs="fusion",
                name="measure_fusion",
            ),
            Node(
                evaluation_of,
                inputs=["metrics", "predictions"],
                outputs="test_ledger",
                name="record_test_evaluation",
            ),
            Node(
                measure_robustness_if_enabled,
                inputs=["predictions", "image_table", "model", "pixel_store", "params:evaluate"],
                outputs="robustness",
                name="measure_robustness",
                tags="network",
            ),
            Node(
                list_label_issues,
                inputs=["predictions", "model", "params:evaluate"],
                outputs="label_issues",
                name="list_label_issues",
            ),
            Node(
                count_unknown_images,
                inputs=["predictions", "model"],
                outputs="unknown",
                name="count_unknown_images",
            ),
            Node(
                explain,
                inputs=["predictions", "model", "pixel_store", "params:evaluate"],
                outputs=["explained_images", "model_findings"],
                name="explain",
                tags="network",
            ),
        ],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )
