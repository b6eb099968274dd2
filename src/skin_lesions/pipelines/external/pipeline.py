"""Pipeline `external`: model, labeled images from elsewhere -> results, beside the internal test.

Nothing is fitted here.
"""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.external.nodes import (
    audit_images,
    decode_images,
    describe_images,
    evaluate_predictions,
    find_overlap,
    predict,
    read_source,
)

READ_SOURCE = "external.read_source"  # full name of the node that reads the external images

EVALUATE = "external.evaluate"  # full name of the node that reads the stored predictions


def create_pipeline() -> Pipeline:
    """Create the pipeline: ingest the images, find the overlap, predict and evaluate.

    It is not part of the default pipeline.
    """
    return Pipeline(
        [
            Node(
                read_source,
                inputs=["model", "params:external"],
                outputs="external_raw_images",
                name="read_source",
            ),
            Node(
                decode_images,
                inputs=["external_raw_images", "model"],
                outputs="external_pixel_store",
                name="decode_images",
            ),
            Node(
                describe_images,
                inputs=["external_raw_images", "external_pixel_store", "model", "params:ingest"],
                outputs=["external_image_table", "external_quarantine"],
                name="describe_images",
            ),
            Node(
                find_overlap,
                inputs=[
                    "external_image_table",
                    "external_raw_images",
                    "model",
                    "stored_raw_images",
                    "pixel_store",
                ],
                outputs=["external_image_groups", "external_image_links", "external_overlap"],
                name="find_overlap",
            ),
            Node(
                audit_images,
                inputs=[
                    "external_image_table",
                    "external_image_groups",
                    "external_image_links",
                    "external_quarantine",
                    "external_pixel_store",
                    "external_raw_images",
                    "model",
                    "params:audit",
                    "params:split",
                ],
                outputs="external_audit_findings",
                name="audit_images",
            ),
            Node(
                predict,
                inputs=[
                    "external_image_table",
                    "external_image_groups",
                    "external_overlap",
                    "external_pixel_store",
                    "model",
                    "params:external",
                    "params:evaluate",
                ],
                outputs="external_predictions",
                name="predict",
                tags="network",
            ),
            Node(
                evaluate_predictions,
                inputs=[
                    "external_predictions",
                    "external_image_table",
                    "external_image_groups",
                    "external_quarantine",
                    "external_overlap",
                    "model",
                    "stored_predictions",
                    "params:external",
                    "params:evaluate",
                ],
                outputs="external_metrics",
                name="evaluate",
            ),
        ],
        namespace="external",
        prefix_datasets_with_namespace=False,
    )
