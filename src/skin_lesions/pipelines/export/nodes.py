"""Nodes of the pipeline `export`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import numpy as np
import numpy.typing as npt

from skin_lesions.config.export import Export
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.tables import SplitTable
from skin_lesions.deployment.bundle_content import ModelBundle, split_manifest
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel


def bundle(
    model: TrainedModel,
    model_card: str,
    split_table: SplitTable,
    pixel_store: PixelStore,
    stored_localizers: StoredVersions[Localizer],
    export: Export,
) -> ModelBundle:
    """Export the networks of a model and of its localizer to ONNX, and check both.

    Args:
        model: The model.
        model_card: Its model card in Markdown.
        split_table: The split that it was trained with.
        pixel_store: Decoded images for the comparison; random images are used if it has none.
        stored_localizers: Localizers, from which that of the model is selected.
        export: Limits of the comparison, and the localizer.

    Raises:
        InputError: The split table is not that of the model, the architecture or the localizer
            cannot be exported, or an exported network differs from the original one.
    """
    from skin_lesions.deployment.lesion_export import (  # noqa: PLC0415
        check_localizer,
        export_localizer,
    )
    from skin_lesions.deployment.onnx_check import check_onnx, images_to_compare  # noqa: PLC0415
    from skin_lesions.deployment.onnx_export import export_onnx  # noqa: PLC0415
    from skin_lesions.models.inference import load_network  # noqa: PLC0415
    from skin_lesions.models.localization.stored_localizers import (  # noqa: PLC0415
        check_no_other_localizer,
        select_localizer,
    )

    # These fail before the export, which takes longer.
    manifest = split_manifest(split_table, model)
    localizer = select_localizer(export.localizer, stored_localizers, model, "export.localizer")
    if model.localizer is not None:
        check_no_other_localizer(localizer, model)
        localizer = model.localizer.with_version(model.version)

    def compared(preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        return images_to_compare(preprocessing, split_table, pixel_store, export.compared_images)

    network = export_onnx(model)
    check_onnx(network, model, compared(model.preprocessing), export)
    lesion_network = None
    if localizer is not None:
        original = None if model.localizer is not None else load_network(model)
        lesion_network = export_localizer(localizer, original)
        if lesion_network is not None:
            images = compared(localizer.preprocessing)
            check_localizer(lesion_network, localizer, original, images, export)
    return ModelBundle(
        model=model,
        network=network,
        manifest=manifest,
        card=model_card,
        localizer=localizer,
        lesion_network=lesion_network,
    )
