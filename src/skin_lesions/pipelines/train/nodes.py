"""Nodes of the pipeline `train`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from skin_lesions.data.loader import ImageDataset
    from skin_lesions.data.preprocessing import Preprocessing
    from skin_lesions.models.networks import InitialNetwork
    from skin_lesions.training.job import TrainingJob, TrainingResult


def fit(
    pixel_store: Any,
    split_table: pd.DataFrame,
    checkpoints: Checkpoints,
    train: TrainRecipe,
    preprocess: Preprocess,
    ingest: Ingest,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train on the train rows, select the epoch on the val rows, resume an interrupted training.

    Returns:
        model dict without calibration, training history (one row per epoch)
    """
    from skin_lesions.data.preprocessing import Preprocessing  # noqa: PLC0415
    from skin_lesions.training.fit import fit_model  # noqa: PLC0415
    from skin_lesions.training.identity import training_identity  # noqa: PLC0415
    from skin_lesions.training.job import TrainingJob  # noqa: PLC0415

    classes = sorted(split_table["label"].unique())
    initial = _initial_network(classes, train)
    preprocessing = Preprocessing(
        resize_mode=preprocess.resize_mode,
        stored_image_size=ingest.stored_image_size,
        image_size=train.eval_image_size,
        mean=initial.mean,
        std=initial.std,
    )
    train_images, val_images = _datasets(pixel_store, split_table, classes, preprocessing)
    identity = training_identity(split_table, train, preprocessing, initial.origin)
    job = TrainingJob(
        recipe=train,
        train_images=train_images,
        val_images=val_images,
        network=initial.network,
        checkpoint=checkpoints.for_training(identity),
    )
    result = fit_model(job)
    model = _model_dict(split_table, classes, initial, preprocessing, job, result)
    return model, result.history


def _datasets(
    pixel_store: Any, split_table: pd.DataFrame, classes: list[str], preprocessing: "Preprocessing"
) -> tuple["ImageDataset", "ImageDataset"]:
    """Return the images to train on and those to validate on.

    Test rows are never loaded, so they cannot influence the selection.
    """
    from skin_lesions.data.loader import build_dataset  # noqa: PLC0415

    pixels = pixel_store.at(preprocessing.stored_image_size)
    rows = split_table.sort_values("file")  # equal content is trained on in an equal order
    train_rows = rows[rows["split"] == "train"]
    val_rows = rows[rows["split"] == "val"]
    return (
        build_dataset(train_rows, classes, pixels, preprocessing),
        build_dataset(val_rows, classes, pixels, preprocessing),
    )


def _initial_network(classes: list[str], recipe: TrainRecipe) -> "InitialNetwork":
    """Create the network with its initial weights, and check all image sizes of the recipe."""
    from skin_lesions.models.networks import check_image_size, create_network  # noqa: PLC0415

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


def _model_dict(
    split_table: pd.DataFrame,
    classes: list[str],
    initial: "InitialNetwork",
    preprocessing: "Preprocessing",
    job: "TrainingJob",
    result: "TrainingResult",
) -> dict[str, Any]:
    """Return the model without calibration, with the origin of its data, weights and code."""
    from skin_lesions.data.sources.base import is_synthetic  # noqa: PLC0415
    from skin_lesions.models.model_file import FORMAT  # noqa: PLC0415
    from skin_lesions.training.identity import library_versions  # noqa: PLC0415

    recipe = job.recipe
    selected = result.history[result.history["best"]].iloc[0]
    return {
        "format": FORMAT,
        "architecture": recipe.architecture,
        "classes": classes,
        "preprocessing": preprocessing.to_model(),
        "test_time_augmentation": recipe.test_time_augmentation,
        "recipe": recipe.model_dump(),
        "initial_weights": initial.origin,
        "selection": {
            "best_epoch": int(selected["epoch"]),
            "by": recipe.selection_metric,
            "value": float(selected[f"val_{recipe.selection_metric}"]),
        },
        "provenance": {
            **{str(key): value for key, value in split_table.attrs.items() if key != "version"},
            "split_table_version": split_table.attrs["version"],
            "package_version": __version__,
            "python": platform.python_version(),
            **library_versions(recipe),
            **result.environment,
            "training": job.checkpoint.name,
        },
        "synthetic_images": is_synthetic(split_table),
        "license_notes": split_table.attrs["origin"].get("license_notes", []),
        "state_dict": result.network.state_dict(),
    }


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
