"""Pipeline `ingest`: source of images -> raw images, decoded pixels, image table."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.ingest.nodes import decode_images, describe_images, read_source

READ_SOURCE = "ingest.read_source"  # name of the node in the registered pipelines


def create_pipeline() -> Pipeline:
    """Create the pipeline: store the files, decode new images and describe every file."""
    return Pipeline(
        [
            Node(
                read_source,
                inputs=["params:source", "params:ingest"],
                outputs="raw_images",
                name="read_source",
            ),
            Node(
                decode_images,
                inputs=["raw_images", "params:ingest"],
                outputs="pixel_store",
                name="decode_images",
            ),
            Node(
                describe_images,
                inputs=["raw_images", "pixel_store", "params:ingest"],
                outputs=["image_table", "quarantine"],
                name="describe_images",
            ),
        ],
        namespace="ingest",
        prefix_datasets_with_namespace=False,
    )
