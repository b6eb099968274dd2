"""Predictions of a trained model."""

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
    """Predict the val and test rows of a split.

    Returns:
        One row per image: file, image_id, group_id, split, label, predicted and ``p_<class>``,
        calibrated, for each class of the model.
    """
    rows = split_table[split_table["split"].isin(["val", "test"])].reset_index(drop=True)
    logits = model_logits(model, pixels, rows, batch_size, device)
    shares = softmax_with_temperature(logits, model["calibration"]["temperature"])
    classes = model["classes"]
    columns = pd.DataFrame(shares, columns=[f"p_{label}" for label in classes])
    predicted = pd.Series([classes[i] for i in shares.argmax(axis=1)], name="predicted")
    keys = rows[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
    return pd.concat([keys, predicted, columns], axis=1)
