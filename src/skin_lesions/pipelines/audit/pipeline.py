"""Pipeline `audit`: image table -> groups, links between images, findings."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.audit.nodes import audit_images, group_images
from skin_lesions.reporting.figures import registry


def create_pipeline() -> Pipeline:
    """Create the pipeline: group the images, audit them and draw examples of linked images.

    The audit includes shortcut probes.
    """
    return Pipeline(
        [
            Node(
                group_images,
                inputs=["image_table", "raw_images"],
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
            *(Node(**figure.node_arguments()) for figure in registry.figures_of("audit")),
        ],
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )
