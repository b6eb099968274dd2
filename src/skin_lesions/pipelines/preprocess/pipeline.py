"""Pipeline `preprocess`: image table, groups -> split table, one split per usable image."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.preprocess.nodes import split_images


def create_pipeline() -> Pipeline:
    """Create the pipeline: split the images."""
    return Pipeline(
        [
            Node(
                split_images,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "audit_findings",
                    "params:split",
                    "params:audit",
                ],
                outputs="split_table",
                name="split_images",
            ),
        ],
        namespace="preprocess",
        prefix_datasets_with_namespace=False,
    )
