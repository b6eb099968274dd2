"""Pipeline `train`: pixels, split -> trained and calibrated model in one file."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.train.nodes import calibrate, fit

FIT = "train.fit"  # name of the node in the registered pipelines


def create_pipeline() -> Pipeline:
    """Create the pipeline: train the weights, then calibrate on the validation images."""
    return Pipeline(
        [
            Node(
                fit,
                inputs=[
                    "pixel_store",
                    "split_table",
                    "image_table",
                    "image_groups",
                    "checkpoints",
                    "params:train",
                    "params:preprocess",
                    "params:ingest",
                    "params:metadata",
                ],
                outputs=["uncalibrated_model", "training_history"],
                name="fit",
                tags="network",
            ),
            Node(
                calibrate,
                inputs=[
                    "uncalibrated_model",
                    "pixel_store",
                    "split_table",
                    "image_table",
                    "params:train",
                    "params:evaluate",
                ],
                outputs="model",
                name="calibrate",
                tags="network",
            ),
        ],
        namespace="train",
        prefix_datasets_with_namespace=False,
    )
