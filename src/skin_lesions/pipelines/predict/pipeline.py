"""Pipeline `predict`: model and new image files -> one row for each file."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.predict.nodes import predict

PREDICT = "predict.predict"  # full name of the node


def create_pipeline() -> Pipeline:
    """Create the pipeline: list the files; saving the rows predicts them batch by batch.

    It is not part of the default pipeline.
    """
    return Pipeline(
        [
            Node(
                predict,
                inputs=["model", "stored_localizers", "params:predict"],
                outputs="new_predictions",
                name="predict",
                tags="network",
            )
        ],
        namespace="predict",
        prefix_datasets_with_namespace=False,
    )
