"""Tables and pixels -> model dict -> predictions."""

import logging
import platform
from typing import Any

import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import Preprocessing
from skin_lesions.data.sources.base import is_synthetic
from skin_lesions.models.model_file import FORMAT
from skin_lesions.models.networks import InitialNetwork, check_image_size, create_network
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.identity import library_versions, training_identity
from skin_lesions.training.launchers import TrainingJob, launch_training

log = logging.getLogger(__name__)


def fit_model(
    pixels: PixelStore,
    split_table: pd.DataFrame,
    checkpoints: Checkpoints,
    recipe: TrainRecipe,
    fit: Any,
    stored_image_size: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train on the train rows, choose the epoch on the val rows; go on where a training broke off.

    Returns:
        A model dict that lacks only its calibration, and the history (a row per epoch).
    """
    classes = sorted(split_table["label"].unique())
    start = _initial_network(classes, recipe)
    preprocessing = Preprocessing(
        fit, stored_image_size, recipe.eval_image_size, start.mean, start.std
    )
    images = {
        split: build_dataset(rows, classes, pixels.at(stored_image_size), preprocessing)
        # By file, so that equal content is learned from in an equal order.
        for split, rows in split_table.sort_values("file").groupby("split")
        if split != "test"  # what is never looked at can't be chosen by
    }
    checkpoint = checkpoints.for_training(
        training_identity(split_table, recipe, preprocessing, start.origin)
    )
    network, history, computed = launch_training(
        TrainingJob(images["train"], images["val"], start.network, recipe, checkpoint)
    )
    best = history[history["best"]].iloc[0]
    model = {
        "format": FORMAT,
        "architecture": recipe.architecture,
        "classes": classes,
        "preprocessing": preprocessing.to_model(),
        "test_time_augmentation": recipe.test_time_augmentation,
        "recipe": recipe.model_dump(),
        "initial_weights": start.origin,
        "selection": {
            "best_epoch": int(best["epoch"]),
            "by": recipe.selection_metric,
            "value": float(best[f"val_{recipe.selection_metric}"]),
        },
        "provenance": {
            **_provenance(split_table, recipe),
            **computed,
            "training": checkpoint.name,
        },
        "synthetic_images": is_synthetic(split_table),
        "license_notes": split_table.attrs["origin"].get("license_notes", []),
        "state_dict": network.state_dict(),
    }
    return model, history


def _initial_network(classes: list[str], recipe: TrainRecipe) -> InitialNetwork:
    start = create_network(
        recipe.architecture,
        recipe.weights,
        recipe.weights_sha256,
        classes,
        recipe.image_size,
        recipe.seed,
    )
    for size in {recipe.initial_image_size, recipe.eval_image_size} - {recipe.image_size}:
        try:
            check_image_size(start.network, recipe.architecture, size)
        except InputError as error:
            raise InputError(
                f"{error}. To have that size throughout: --params "
                "train.progressive_resizing_start=1,train.eval_size_ratio=1"
            ) from None
    return start


def _provenance(split_table: pd.DataFrame, recipe: TrainRecipe) -> dict[str, Any]:
    made_from = {str(key): value for key, value in split_table.attrs.items() if key != "version"}
    return {
        **made_from,
        "split_table_version": split_table.attrs["version"],
        "package_version": __version__,
        "python": platform.python_version(),
        **library_versions(recipe),
    }
