"""Predictions of a trained model: calibrated class probabilities of each image."""

from typing import Any

import pandas as pd

from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.models.inference import model_logits
from skin_lesions.models.postprocessing.temperature import softmax_with_temperature


def predict(
    model: dict[str, Any],
    pixels: PixelStore,
    split_table: pd.DataFrame,
    batch_size: int,
    device: str,
) -> pd.DataFrame:
    """Predict the val and test rows of a split table.

    Returns:
        One row per image: file, image_id, group_id, split, label, predicted, and the calibrated
        probability ``p_<class>`` of each class of the model.
    """
    rows = split_table[split_table["split"].isin(["val", "test"])].reset_index(drop=True)
    logits = model_logits(model, pixels, rows, batch_size, device)
    # (images, classes), each row sums to 1
    probabilities = softmax_with_temperature(logits, model["calibration"]["temperature"])
    classes = model["classes"]
    columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in classes])
    predicted = pd.Series([classes[i] for i in probabilities.argmax(axis=1)], name="predicted")
    keys = rows[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
    return pd.concat([keys, predicted, columns], axis=1)
