"""Pixels and split -> a trained, calibrated, self-sufficient model."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.train.nodes import calibrate, fit


def create_pipeline() -> Pipeline:
    """Fit the weights, then what is set on the validation images."""
    return Pipeline(
        [
            Node(
                fit,
                inputs=[
                    "pixels",
                    "split_table",
                    "checkpoints",
                    "params:train",
                    "params:preprocess",
                    "params:ingest",
                ],
                outputs=["trained_network", "training_history"],
                name="fit",
            ),
            Node(
                calibrate,
                inputs=["trained_network", "pixels", "split_table"],
                outputs="model",
                name="calibrate",
            ),
        ],
        namespace="train",
        prefix_datasets_with_namespace=False,
    )
