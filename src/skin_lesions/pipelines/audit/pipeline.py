"""The image table -> which images belong together, and what is wrong with them."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.audit.nodes import find_problems, group_images, probe_shortcuts


def create_pipeline() -> Pipeline:
    """Group the images, probe what a model could cheat with, then tell all that is wrong."""
    return Pipeline(
        [
            Node(
                group_images,
                inputs=["image_table", "pixels", "params:ingest"],
                outputs=["image_groups", "image_links"],
                name="group_images",
            ),
            Node(
                probe_shortcuts,
                inputs=[
                    "image_table",
                    "image_groups",
                    "pixels",
                    "raw_images",
                    "params:ingest",
                    "params:audit",
                ],
                outputs="shortcut_probes",
                name="probe_shortcuts",
            ),
            Node(
                find_problems,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "quarantine",
                    "pixels",
                    "shortcut_probes",
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
