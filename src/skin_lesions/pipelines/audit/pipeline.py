"""Pipeline `audit`: image table -> groups, links between images, findings."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.audit.nodes import audit_images, draw_linked_image_pairs, group_images


def create_pipeline() -> Pipeline:
    """Create the pipeline: group the images, audit them and draw examples of linked images.

    The audit includes shortcut probes.
    """
    return Pipeline(
        [
            Node(
                group_images,
                inputs=["image_table", "pixel_store", "params:ingest"],
                outputs=["image_groups", "image_links"],
                name="group_images",
            ),
            Node(
                audit_images,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "quarantine",
                    "pixel_store",
                    "raw_images",
                    "params:ingest",
                    "params:audit",
                    "params:split",
                ],
                outputs="audit_findings",
                name="audit_images",
            ),
            Node(
                draw_linked_image_pairs,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "pixel_store",
                    "params:ingest",
                    "params:audit",
                ],
                outputs="linked_image_pairs",
                name="draw_linked_image_pairs",
            ),
        ],
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )
