"""Nodes of train. torch is imported inside: listing the pipelines must not wait for it."""

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
    """Train a network: (model dict without calibration, history)."""
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
    """Set the temperature on the validation images: the whole model dict."""
    from skin_lesions.models.inference import model_logits  # noqa: PLC0415
    from skin_lesions.models.postprocessing.temperature import fit_temperature  # noqa: PLC0415

    val = split_table[split_table["split"] == "val"]
    recipe = uncalibrated_model["recipe"]
    # Workers of Ray may have had a device that this machine has not.
    device = "auto" if recipe["launcher"] == "ray" else recipe["device"]
    logits = model_logits(uncalibrated_model, pixel_store, val, 2 * recipe["batch_size"], device)
    number_of = {label: number for number, label in enumerate(uncalibrated_model["classes"])}
    temperature = fit_temperature(logits, val["label"].map(number_of).to_numpy())
    return {**uncalibrated_model, "calibration": asdict(temperature)}
