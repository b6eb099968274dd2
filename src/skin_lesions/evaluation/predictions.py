"""Predictions of a trained model: calibrated class probabilities of each image."""

import pandas as pd

from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.models.inference import model_logits
from skin_lesions.models.postprocessing.temperature import softmax_with_temperature
from skin_lesions.models.trained_model import TrainedModel


def predict_images(
    model: TrainedModel, pixels: PixelStore, rows: pd.DataFrame, batch_size: int, device: str
) -> pd.DataFrame:
    """Predict the images of some rows of a split table.

    Returns:
        One row per image: file, image_id, group_id, split, label, is_leaked, predicted, and the
        calibrated probability ``p_<class>`` of each class of the model.
    """
    rows = rows.reset_index(drop=True)
    logits = model_logits(model, pixels, rows, batch_size, device)
    # (images, classes), each row sums to 1
    temperature = model.postprocessing.calibration.temperature
    probabilities = softmax_with_temperature(logits, temperature)
    columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in model.classes])
    predicted = [model.classes[i] for i in probabilities.argmax(axis=1)]
    keys = rows[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
    return pd.concat([keys.assign(predicted=predicted), columns], axis=1)
