"""Nodes of train. torch is imported inside: listing the pipelines must not wait for it."""

from typing import Any

import pandas as pd

from skin_lesions.config.parameters import Ingest, Preprocess, TrainRecipe


def fit(
    pixels: Any,
    split_table: pd.DataFrame,
    checkpoints: Any,
    train: TrainRecipe,
    preprocess: Preprocess,
    ingest: Ingest,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train a network: (model dict without calibration, history)."""
    from skin_lesions.training.fit import fit_model  # noqa: PLC0415

    return fit_model(pixels, split_table, checkpoints, train, preprocess.fit, ingest.pixel_size)


def calibrate(trained_network: dict[str, Any], pixels: Any, split_table: pd.DataFrame) -> Any:
    """Set the temperature on the validation images: the whole model dict."""
    from skin_lesions.training.fit import calibrated  # noqa: PLC0415

    return calibrated(trained_network, pixels, split_table)
