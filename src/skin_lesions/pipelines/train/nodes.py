"""Nodes of the pipeline `train`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

from dataclasses import asdict
from typing import Any

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.train import TrainRecipe


def fit(
    pixel_store: Any,
    split_table: pd.DataFrame,
    checkpoints: Any,
    train: TrainRecipe,
    preprocess: Preprocess,
    ingest: Ingest,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train a network.

    Returns:
        model dict without calibration, training history
    """
    from skin_lesions.training.fit import fit_model  # noqa: PLC0415

    return fit_model(
        pixel_store,
        split_table,
        checkpoints,
        train,
        preprocess.resize_mode,
        ingest.stored_image_size,
    )


def calibrate(
    uncalibrated_model: dict[str, Any], pixel_store: Any, split_table: pd.DataFrame
) -> dict[str, Any]:
    """Fit the temperature on the validation images and return the complete model dict."""
    from skin_lesions.models.inference import model_logits  # noqa: PLC0415
    from skin_lesions.models.postprocessing.temperature import fit_temperature  # noqa: PLC0415

    val = split_table[split_table["split"] == "val"]
    recipe = uncalibrated_model["recipe"]
    # Ray workers may have used a device that this machine does not have.
    device = "auto" if recipe["launcher"] == "ray" else recipe["device"]
    logits = model_logits(uncalibrated_model, pixel_store, val, 2 * recipe["batch_size"], device)
    class_index = {label: index for index, label in enumerate(uncalibrated_model["classes"])}
    temperature = fit_temperature(logits, val["label"].map(class_index).to_numpy())
    return {**uncalibrated_model, "calibration": asdict(temperature)}
