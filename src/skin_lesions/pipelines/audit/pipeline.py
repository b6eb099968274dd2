"""The image table -> which images belong together, and what is wrong with them."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.grouping import group_images
from skin_lesions.pipelines.audit.nodes import find_problems


def create_pipeline() -> Pipeline:
    """Group the images, then look for leaks and contradictions."""
    return Pipeline(
        [
            Node(group_images, inputs="image_table", outputs="image_groups", name="group_images"),
            Node(
                find_problems,
                inputs=["image_table", "image_groups", "quarantine", "params:audit"],
                outputs="audit_findings",
                name="find_problems",
            ),
        ],
        namespace="audit",
        prefix_datasets_with_namespace=False,
    )
