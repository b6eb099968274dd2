"""Training from tables and a pixel store: the model dict without calibration, and the history."""

import logging
import platform
from dataclasses import asdict
from typing import Any

import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
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
    resize_mode: Any,
    stored_image_size: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train on the train rows, select the epoch on the val rows, resume an interrupted training.

    Returns:
        A model dict without calibration, and the history (one row per epoch).
    """
    classes = sorted(split_table["label"].unique())
    initial = _initial_network(classes, recipe)
    preprocessing = Preprocessing(
        resize_mode, stored_image_size, recipe.eval_image_size, initial.mean, initial.std
    )
    images = {
        split: build_dataset(rows, classes, pixels.at(stored_image_size), preprocessing)
        # Sorted by file, so that equal content is trained on in an equal order.
        for split, rows in split_table.sort_values("file").groupby("split")
        if split != "test"  # never loaded, so it cannot influence the selection
    }
    checkpoint = checkpoints.for_training(
        training_identity(split_table, recipe, preprocessing, initial.origin)
    )
    network, history, environment = launch_training(
        TrainingJob(images["train"], images["val"], initial.network, recipe, checkpoint)
    )
    selected = history[history["best"]].iloc[0]
    model = {
        "format": FORMAT,
        "architecture": recipe.architecture,
        "classes": classes,
        "preprocessing": preprocessing.to_model(),
        "test_time_augmentation": recipe.test_time_augmentation,
        "recipe": recipe.model_dump(),
        "initial_weights": {k: v for k, v in asdict(initial.origin).items() if v is not None},
        "selection": {
            "best_epoch": int(selected["epoch"]),
            "by": recipe.selection_metric,
            "value": float(selected[f"val_{recipe.selection_metric}"]),
        },
        "provenance": {
            **_provenance(split_table, recipe),
            **environment,
            "training": checkpoint.name,
        },
        "synthetic_images": is_synthetic(split_table),
        "license_notes": split_table.attrs["origin"].get("license_notes", []),
        "state_dict": network.state_dict(),
    }
    return model, history


def _initial_network(classes: list[str], recipe: TrainRecipe) -> InitialNetwork:
    initial = create_network(
        architecture=recipe.architecture,
        weights=recipe.weights,
        weights_sha256=recipe.weights_sha256,
        classes=classes,
        image_size=recipe.image_size,
        seed=recipe.seed,
    )
    for size in {recipe.initial_image_size, recipe.eval_image_size} - {recipe.image_size}:
        try:
            check_image_size(initial.network, recipe.architecture, size)
        except InputError as error:
            raise InputError(
                # A new line, because the message above may end with a command.
                f"{error}\nTo use one image size in all epochs and in evaluation: --params "
                "train.progressive_resizing_start=1,train.eval_size_ratio=1"
            ) from None
    return initial


def _provenance(split_table: pd.DataFrame, recipe: TrainRecipe) -> dict[str, Any]:
    attributes = {str(key): value for key, value in split_table.attrs.items() if key != "version"}
    return {
        **attributes,
        "split_table_version": split_table.attrs["version"],
        "package_version": __version__,
        "python": platform.python_version(),
        **library_versions(recipe),
    }
