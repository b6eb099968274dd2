"""A model and the images it has not learned from -> predictions and metrics; fits nothing."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.evaluate.nodes import predict, score


def create_pipeline() -> Pipeline:
    """Predict the validation and test images, then score the predictions."""
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
