"""Content of a model bundle before it is written. Importing this module does not import torch."""

from dataclasses import dataclass

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.data.tables import SplitTable
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """Content of a model bundle.

    Attributes:
        model: The model, as loaded from the model file.
        network: Content of the ONNX file.
        manifest: Columns image_id and split of the split table.
        card: The model card in Markdown.
        localizer: The localizer of the model; None without one.
        lesion_network: Content of the ONNX file of the localizer; None for a constant box.
    """

    model: TrainedModel
    network: bytes
    manifest: pd.DataFrame
    card: str
    localizer: Localizer | None = None
    lesion_network: bytes | None = None


def split_manifest(split_table: SplitTable, model: TrainedModel) -> pd.DataFrame:
    """Return image_id and split of each image, without data about patients.

    Raises:
        InputError: The model was trained or selected on other images.
    """
    manifest = split_table.frame[["image_id", "split"]].sort_values(["split", "image_id"])
    for split, expected in (("train", model.train_image_ids), ("val", model.val_image_ids)):
        if tuple(manifest.loc[manifest["split"] == split, "image_id"]) != expected:
            raise InputError(
                f"The {split} images of the split table ({split_table.version}) are not those of "
                f"the model ({model.version}). Fix: select the split table of the model with "
                f"--load-versions split_table:{model.provenance.split_table_version}"
            )
    return manifest.reset_index(drop=True)
