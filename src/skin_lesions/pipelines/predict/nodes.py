"""Nodes of the pipeline `predict`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import logging

from skin_lesions.config.predict import Predict
from skin_lesions.core.text import pluralize
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.predictor import Predictor
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)


def predict(model: TrainedModel | Predictor, predict: Predict) -> PredictionRun:
    """List the files to predict. The data set predicts them while it saves the rows.

    Args:
        model: The catalog model, or the predictor of ``predict.model``.
        predict: The parameters.

    Raises:
        InputError: ``predict.input`` is not set, does not exist or contains no file.
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

        model = TorchPredictor(model, predict.device)
    for warning in model.description.warnings():
        log.warning("%s", warning)
    return PredictionRun(model, files, predict.batch_size)
