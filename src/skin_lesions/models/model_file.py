"""Model file: its keys, how it is loaded, and the check that it matches the data."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.models.networks import build_network
from skin_lesions.models.state_dicts import load_tensors

FORMAT = 1
_KEYS = {
    *("format", "architecture", "classes", "preprocessing", "test_time_augmentation"),
    *("calibration", "state_dict"),
}


def load_model(path: Path) -> dict[str, Any]:
    """Load a model file without executing code in it.

    Raises:
        InputError: The file is damaged, contains code, or is not a model of this project.
    """
    model = load_tensors(path, "Train a model again: kedro run --pipelines train")
    if not isinstance(model, dict) or not model.keys() >= _KEYS or model["format"] != FORMAT:
        raise InputError(
            f"{path} is not a model file of this project. Expected format {FORMAT} with "
            f"{', '.join(sorted(_KEYS))}. Train a model: kedro run --pipelines train"
        )
    return model


def describe_model(model: dict[str, Any]) -> str:
    """Return all entries of a model except the weights, as JSON."""
    metadata = {key: value for key, value in model.items() if key != "state_dict"}
    return json.dumps(metadata, default=str)


def load_network(model: dict[str, Any]) -> nn.Module:
    """Build the network of a model and load its weights.

    Raises:
        InputError: The weights do not match the architecture.
    """
    network = build_network(model["architecture"], len(model["classes"]))
    try:
        network.load_state_dict(model["state_dict"])
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise InputError(
            f"The weights of the model do not match {model['architecture']}: {detail}"
        ) from None
    return network


def check_model_matches_data(
    model: dict[str, Any],
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    raw_table: pd.DataFrame,
) -> None:
    """Check that a model was made from this split and from these images, before it is evaluated.

    Kedro looks up the latest version of each dataset separately. After a crash, or with one pinned
    version, the datasets may not match.

    Raises:
        InputError: They do not match. The message has both versions and the commands that fix it.
    """
    provenance = model["provenance"]
    model_version = provenance["version"]
    if split_fingerprint(split_table) != provenance["split_fingerprint"]:
        raise InputError(
            f"Model {model_version} was trained on the split of split_table "
            f"{provenance['split_table_version']}, not on that of {_version(split_table)}: the "
            f"test images may have been training images. {_remedy(provenance)}"
        )
    if data_fingerprint(image_table) != provenance["data_fingerprint"]:
        raise InputError(
            f"Model {model_version} was trained on the images of image_table "
            f"{provenance['image_table_version']}, not on those of {_version(image_table)}. "
            f"{_remedy(provenance)}"
        )
    _check_raw_images(image_table, raw_table, provenance)


def _check_raw_images(
    image_table: pd.DataFrame, raw_table: pd.DataFrame, provenance: dict[str, Any]
) -> None:
    keys = ["file", "image_id"]
    available = pd.MultiIndex.from_frame(raw_table[keys])
    unknown_images = ~pd.MultiIndex.from_frame(image_table[keys]).isin(available)
    if unknown_images.any():
        raise InputError(
            f"{int(unknown_images.sum())} images of image_table {_version(image_table)} (e.g. "
            f"{image_table.loc[unknown_images, 'file'].iloc[0]}) are not in raw_images "
            f"{_version(raw_table)}. They come from version {provenance['raw_images_version']}. "
            f"{_remedy(provenance)}"
        )


def _version(table: pd.DataFrame) -> str:
    return str(table.attrs.get("version", "(unsaved)"))


def _remedy(provenance: dict[str, Any]) -> str:
    return (
        "Evaluate the model on its own data: kedro run --pipelines evaluate,report --load-versions "
        f"model:{provenance['version']},{load_versions(provenance)} -- or train on the current "
        "data: kedro run --pipelines train,evaluate,report (same --env and --params)"
    )


def load_versions(provenance: dict[str, Any]) -> str:
    """Return the tables from which a model was made, in the format of ``--load-versions``."""
    names = ("split_table", "image_table", "raw_images")
    return ",".join(f"{name}:{provenance[name + '_version']}" for name in names)
