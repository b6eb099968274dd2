"""The image table -> which images belong together, and what is wrong with them."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.audit.nodes import draw_example_pairs, find_problems, group_images


def create_pipeline() -> Pipeline:
    """Group the images, show some links, tell all that is wrong, and what a model could cheat with."""
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
            Node(
                draw_example_pairs,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "pixels",
                    "params:ingest",
                    "params:audit",
                ],
                outputs="example_pairs",
                name="draw_example_pairs",
            ),
        ],
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )
