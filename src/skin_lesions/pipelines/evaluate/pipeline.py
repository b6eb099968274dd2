"""Pipeline `evaluate`: model, validation and test images -> predictions, metrics, subgroups.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.evaluate.nodes import malignancy, predict, score, slices


def create_pipeline() -> Pipeline:
    """Create the pipeline: predict the validation and test images, then evaluate them."""
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
                malignancy,
                inputs=["predictions", "model", "params:evaluate"],
                outputs="malignancy",
                name="malignancy",
            ),
            Node(
                slices,
                inputs=["predictions", "image_table", "model", "params:evaluate"],
                outputs="slices",
                name="slices",
            ),
        ],
        namespace="evaluate",
        prefix_datasets_with_namespace=False,
    )
