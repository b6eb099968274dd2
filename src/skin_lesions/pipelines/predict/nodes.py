"""Nodes of the pipeline `predict`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import logging
from pathlib import Path

from skin_lesions.config.predict import Predict
from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import StoredVersions
from skin_lesions.deployment.clinical_metadata import metadata_note, read_clinical_metadata
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.predictor import Predictor
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.postprocessing.metadata_fusion import log_unusable_values
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)


def predict(
    model: TrainedModel | Predictor,
    stored_localizers: StoredVersions[Localizer],
    predict: Predict,
) -> PredictionRun:
    """List the files to predict. The data set predicts them while it saves the rows.

    Args:
        model: The catalog model, or the predictor of ``predict.model``, with its localizer.
        stored_localizers: Localizers, from which that of the catalog model is selected.
        predict: The parameters.

    Raises:
        InputError: ``predict.input`` is not set, does not exist or contains no file, or
            ``predict.metadata`` or ``predict.localizer`` cannot be used.
    """
    files = find_images(
        [predict.required_input()],
        follow_symlinks=predict.follow_symlinks,
        option="predict.follow_symlinks=true",
    )
    if files.skipped:
        log.info("Skipped %s that are not images", pluralize(files.skipped, "file"))
    if isinstance(model, TrainedModel):
        from skin_lesions.deployment.torch_predictor import TorchPredictor  # noqa: PLC0415
        from skin_lesions.models.localization.stored_localizers import (  # noqa: PLC0415
            select_localizer,
        )

        localizer = select_localizer(
            predict.localizer, stored_localizers, model, "predict.localizer"
        )
        model = TorchPredictor(model, predict.device, localizer)
    description = model.description
    path = None if predict.metadata is None else Path(predict.metadata)
    metadata = read_clinical_metadata(path, files.names, description, "predict.metadata")
    if metadata is not None:
        log_unusable_values(description.postprocessing.metadata_fusion, metadata)
    if note := metadata_note(description, metadata):
        log.info("%s", note)
    for warning in description.warnings():
        log.warning("%s", warning)
    return PredictionRun(model, files, predict.batch_size, metadata)
