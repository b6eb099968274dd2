"""Pipeline `clean`: tables of the audit and the split -> list of files, and a cleaned copy."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.clean.nodes import list_files, write_copy

COPY = "clean.write_copy"  # full name of the node that writes outside the data root


def create_pipeline() -> Pipeline:
    """Create the pipeline: list the files to drop, merge or check, then write a cleaned copy.

    The copy is written only if ``clean.output`` is set. The pipeline is not part of the default
    pipeline.
    """
    return Pipeline(
        [
            Node(
                list_files,
                inputs=[
                    "image_table",
                    "image_groups",
                    "image_links",
                    "quarantine",
                    "split_table",
                    "pixel_store",
                    "params:ingest",
                ],
                outputs="cleaning_list",
                name="list_files",
            ),
            Node(
                write_copy,
                inputs=[
                    "image_table",
                    "split_table",
                    "cleaning_list",
                    "raw_images",
                    "params:clean",
                ],
                outputs=None,
                name="write_copy",
            ),
        ],
        namespace="clean",
        prefix_datasets_with_namespace=False,
    )
