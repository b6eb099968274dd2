"""The image table -> which images belong together, and what is wrong with them."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.audit.nodes import find_problems, group_images


def create_pipeline() -> Pipeline:
    """Group the images, then tell all that is wrong with them, and what a model could cheat with."""
    return Pipeline(
        [
            Node(
                group_images,
                inputs=["image_table", "pixels", "params:ingest"],
                outputs=["image_groups", "image_links"],
                name="group_images",
            ),
            Node(
                find_problems,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "quarantine",
                    "pixels",
                    "raw_images",
                    "params:ingest",
                    "params:audit",
                    "params:split",
                ],
                outputs="audit_findings",
                name="find_problems",
            ),
        ],
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )
