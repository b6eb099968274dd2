"""Pipeline `localize`: model, annotated images -> localizer, boxes, results and figures."""

from kedro.pipeline import Node, Pipeline

from skin_lesions.pipelines.localize.nodes import draw, evaluate, fit, read_annotations


def create_pipeline() -> Pipeline:
    """Create the pipeline: read the annotations, fit the localizer, measure it and draw.

    It is not part of the default pipeline.
    """
    return Pipeline(
        [
            Node(
                read_annotations,
                inputs=[
                    "model",
                    "image_table",
                    "image_groups",
                    "split_table",
                    "pixel_store",
                    "params:localize",
                ],
                outputs="annotated_images",
                name="read_annotations",
            ),
            Node(
                fit,
                inputs=["annotated_images", "model", "params:localize"],
                outputs="localizer",
                name="fit",
                tags="network",
            ),
            Node(
                evaluate,
                inputs=[
                    "annotated_images",
                    "localizer",
                    "model",
                    "split_table",
                    "pixel_store",
                    "params:localize",
                ],
                outputs=["localization", "lesion_boxes"],
                name="evaluate",
                tags="network",
            ),
            Node(
                draw,
                inputs=["annotated_images", "localization", "params:report"],
                outputs=["localization_methods", "worst_localizations"],
                name="draw",
                tags="figures",
            ),
        ],
        namespace="localize",
        prefix_datasets_with_namespace=False,
    )
