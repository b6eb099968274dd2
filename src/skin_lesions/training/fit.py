"""Tables and pixels -> model dict -> predictions."""

import hashlib
import logging
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from skin_lesions import __version__
from skin_lesions.config.parameters import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.data.loader import labelled_images
from skin_lesions.data.pixel_store import DECODER, PixelStore
from skin_lesions.data.preprocessing import Preprocessing
from skin_lesions.metrics.calibration import fit_temperature, probabilities
from skin_lesions.models.devices import choose_device, make_ready
from skin_lesions.models.inference import predict_logits
from skin_lesions.models.model_file import FORMAT, network_of
from skin_lesions.models.networks import StartingNetwork, refuse_image_size, starting_network
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.launchers import Job, launch

log = logging.getLogger(__name__)

# Weights are known by their content instead: a file may be moved.
_SHAPES_NO_WEIGHTS = {
    *("checkpoint_minutes", "ray", "test_time_augmentation", "weights", "weights_sha256")
}


def fit_model(
    pixels: PixelStore,
    split_table: pd.DataFrame,
    checkpoints: Checkpoints,
    recipe: TrainRecipe,
    fit: Any,
    pixel_size: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train on the train rows, choose the epoch on the val rows; go on where a training broke off.

    Returns:
        A model dict that lacks only its calibration, and the history (a row per epoch).
    """
    classes = sorted(split_table["label"].unique())
    start = _start(classes, recipe)
    preprocessing = Preprocessing(fit, pixel_size, recipe.test_size, start.mean, start.std)
    images = {
        split: labelled_images(rows, classes, pixels.at(pixel_size), preprocessing)
        # By file, so that equal content is learned from in an equal order.
        for split, rows in split_table.sort_values("file").groupby("split")
        if split != "test"  # what is never looked at can't be chosen by
    }
    checkpoint = checkpoints.of(_identity(split_table, recipe, preprocessing, start.origin))
    network, history, computed = launch(
        Job(images["train"], images["val"], start.network, recipe, checkpoint)
    )
    best = history[history["best"]].iloc[0]
    model = {
        "format": FORMAT,
        "architecture": recipe.architecture,
        "classes": classes,
        "preprocessing": preprocessing.to_model(),
        "test_time_augmentation": recipe.test_time_augmentation,
        "recipe": recipe.model_dump(),
        "starting_weights": start.origin,
        "selection": {
            "best_epoch": int(best["epoch"]),
            "by": recipe.select_by,
            "value": float(best[f"val_{recipe.select_by}"]),
        },
        "provenance": {
            **_provenance(split_table, recipe),
            **computed,
            "training": checkpoint.name,
        },
        "generated_images": is_generated(split_table),
        "licence_notes": split_table.attrs["origin"].get("licence_notes", []),
        "state_dict": network.state_dict(),
    }
    return model, history


def _start(classes: list[str], recipe: TrainRecipe) -> StartingNetwork:
    start = starting_network(
        recipe.architecture,
        recipe.weights,
        recipe.weights_sha256,
        classes,
        recipe.image_size,
        recipe.seed,
    )
    for size in {recipe.start_size, recipe.test_size} - {recipe.image_size}:
        try:
            refuse_image_size(start.network, recipe.architecture, size)
        except InputError as error:
            raise InputError(
                f"{error}. To have that size throughout: --params "
                "train.start_scale=1,train.test_scale=1"
            ) from None
    return start


def _identity(
    split_table: pd.DataFrame,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    origin: dict[str, Any],
) -> dict[str, Any]:
    """Return all that shapes the weights: what is alike in all of it may go on from a checkpoint."""
    return {
        "train": recipe.model_dump(mode="json", exclude=_SHAPES_NO_WEIGHTS),
        "starting weights": {key: origin.get(key) for key in ("sha256", "head")},
        "preprocess": preprocessing.to_model(),
        "split of the images": split_fingerprint(split_table),
        "decoder": DECODER,
        "skin-lesions": f"{__version__} ({_code()})",
        "libraries": _libraries(recipe),
    }


def _libraries(recipe: TrainRecipe) -> dict[str, str]:
    names = ["torch", "torchvision", "numpy", "scikit-learn"]
    if recipe.architecture.startswith("timm/"):
        names.append("timm")
    return {name: version(name).split("+")[0] for name in names}


def _code() -> str:
    """Name the code of this package by its content: who works on it doesn't raise its version."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _provenance(split_table: pd.DataFrame, recipe: TrainRecipe) -> dict[str, Any]:
    made_from = {str(key): value for key, value in split_table.attrs.items() if key != "version"}
    return {
        **made_from,
        "split_table_version": split_table.attrs["version"],
        "package_version": __version__,
        "python": platform.python_version(),
        **_libraries(recipe),
    }


def is_generated(table: pd.DataFrame) -> bool:
    """Say whether the images of a table were drawn by the demo source."""
    return bool(table.attrs["origin"]["kind"] == "demo")


def calibrated(
    trained: dict[str, Any], pixels: PixelStore, split_table: pd.DataFrame
) -> dict[str, Any]:
    """Set the temperature on the val rows; return the whole model dict."""
    val = split_table[split_table["split"] == "val"]
    recipe = trained["recipe"]
    # Workers of Ray may have had a device that this machine has not.
    device = "auto" if recipe["launcher"] == "ray" else recipe["device"]
    logits = _logits(trained, pixels, val, 2 * recipe["batch_size"], device)
    number_of = {label: number for number, label in enumerate(trained["classes"])}
    temperature = fit_temperature(logits, val["label"].map(number_of).to_numpy())
    return {**trained, "calibration": asdict(temperature)}


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
    logits = _logits(model, pixels, rows, batch_size, device)
    shares = probabilities(logits, model["calibration"]["temperature"])
    classes = model["classes"]
    columns = pd.DataFrame(shares, columns=[f"p_{label}" for label in classes])
    predicted = pd.Series([classes[i] for i in shares.argmax(axis=1)], name="predicted")
    keys = rows[["file", "image_id", "group_id", "split", "label", "leaked"]]
    return pd.concat([keys, predicted, columns], axis=1)


def _logits(
    model: dict[str, Any], pixels: PixelStore, rows: pd.DataFrame, batch_size: int, device: str
) -> Any:
    preprocessing = Preprocessing.from_model(model["preprocessing"])
    images = labelled_images(
        rows, model["classes"], pixels.at(preprocessing.pixel_size), preprocessing
    )
    chosen = choose_device(device)
    make_ready(chosen)
    network = network_of(model).to(chosen).to(memory_format=torch.channels_last)
    views = model["test_time_augmentation"]
    return predict_logits(network, images, batch_size, chosen, views=views)
