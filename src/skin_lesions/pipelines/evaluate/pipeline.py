"""Pipeline `evaluate`: model, validation and test images -> predictions, metrics.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.evaluate.nodes import predict, score


def create_pipeline() -> Pipeline:
    """Create the pipeline: predict the validation and test images, then compute the metrics."""
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
        ],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )
