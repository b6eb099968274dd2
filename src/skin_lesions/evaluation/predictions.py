"""Predictions of a trained model: calibrated class probabilities of each image."""

from collections.abc import Callable

import pandas as pd

from skin_lesions.data.loader import ImageDataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.models.inference import model_logits
from skin_lesions.models.postprocessing.temperature import softmax_with_temperature
from skin_lesions.models.trained_model import TrainedModel


def predict_images(
    model: TrainedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    batch_size: int,
    device: str,
    transform: Callable[[ImageDataset], ImageDataset] | None = None,
) -> pd.DataFrame:
    """Predict the images of some rows of a split table.

    Args:
        model: The model.
        pixels: Decoded images.
        rows: Rows of a split table.
        batch_size: Number of images per batch.
        device: As in ``evaluate.device``.
        transform: Function that returns the dataset with other images, such as corrupted ones.

    Returns:
        One row per image: file, image_id, group_id, split, label, is_leaked, predicted, and the
        calibrated probability ``p_<class>`` of each class of the model.
    """
    rows = rows.reset_index(drop=True)
    logits = model_logits(model, pixels, rows, batch_size, device, transform)
    # (images, classes), each row sums to 1
    temperature = model.postprocessing.calibration.temperature
    probabilities = softmax_with_temperature(logits, temperature)
    columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in model.classes])
    predicted = [model.classes[i] for i in probabilities.argmax(axis=1)]
    keys = rows[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
    return pd.concat([keys.assign(predicted=predicted), columns], axis=1)
