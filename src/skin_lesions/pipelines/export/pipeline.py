"""Pipeline `export`: model, model card, split -> model bundle that works without this project."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.export.nodes import bundle


def create_pipeline() -> Pipeline:
    """Create the pipeline: export the network, compare it with the original, and bundle the files.

    It is not part of the default pipeline.
    """
    return Pipeline(
        [
            Node(
                bundle,
                inputs=[
                    "model",
                    "model_card",
                    "split_table",
                    "pixel_store",
                    "stored_localizers",
                    "params:export",
                ],
                outputs="model_bundle",
                name="bundle",
                tags="network",
            )
        ],
        namespace="export",
        prefix_datasets_with_namespace=False,
    )
