"""Nodes of the pipeline `export`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

from skin_lesions.config.export import Export
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import SplitTable
from skin_lesions.deployment.bundle_content import ModelBundle, split_manifest
from skin_lesions.models.trained_model import TrainedModel


def bundle(
    model: TrainedModel,
    model_card: str,
    split_table: SplitTable,
    pixel_store: PixelStore,
    export: Export,
) -> ModelBundle:
    """Export the network of a model to ONNX, and check it against the original network.

    Args:
        model: The model.
        model_card: Its model card in Markdown.
        split_table: The split that it was trained with.
        pixel_store: Decoded images for the comparison; random images are used if it has none.
        export: Limits of the comparison.

    Raises:
        InputError: The split table is not that of the model, the architecture cannot be exported,
            or the exported network differs from the original one.
    """
    from skin_lesions.deployment.onnx_check import check_onnx, images_to_compare  # noqa: PLC0415
    from skin_lesions.deployment.onnx_export import export_onnx  # noqa: PLC0415

    manifest = split_manifest(split_table, model)  # fails before the export, which takes longer
    network = export_onnx(model)
    images = images_to_compare(model, split_table, pixel_store, export.compared_images)
    check_onnx(network, model, images, export)
    return ModelBundle(model=model, network=network, manifest=manifest, card=model_card)
