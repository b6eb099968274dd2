"""Pipeline `evaluate`: model, validation and test images -> predictions and results of them.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.evaluate.nodes import (
    measure_malignancy,
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
        ],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )
