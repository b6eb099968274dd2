"""The model dict: what it holds, how it is read, and whether it belongs to these data."""

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
    """Read a model file, without executing anything in it.

    Raises:
        InputError: It is damaged, holds code, or is no model of this project.
    """
    model = load_tensors(path, "train anew with: kedro run --pipelines train")
    if not isinstance(model, dict) or not model.keys() >= _KEYS or model["format"] != FORMAT:
        raise InputError(
            f"{path} is not a model file of this project (format {FORMAT}, with "
            f"{', '.join(sorted(_KEYS))}); train one with: kedro run --pipelines train"
        )
    return model


def describe_model(model: dict[str, Any]) -> str:
    """Return everything but the weights, as JSON."""
    known = {key: value for key, value in model.items() if key != "state_dict"}
    return json.dumps(known, default=str)


def load_network(model: dict[str, Any]) -> nn.Module:
    """Build the network that a model file describes, with its weights.

    Raises:
        InputError: The weights don't fit the architecture.
    """
    network = build_network(model["architecture"], len(model["classes"]))
    try:
        network.load_state_dict(model["state_dict"])
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise InputError(
            f"the model's weights don't fit {model['architecture']}: {detail}"
        ) from None
    return network


def check_model_matches_data(
    model: dict[str, Any],
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    raw_table: pd.DataFrame,
) -> None:
    """Refuse to judge a model on a split or on images that it was not made from.

    "Latest" is looked up for each data set by itself, so after a crash, or with one version
    pinned, they may not belong together.

    Raises:
        InputError: Names both versions and the commands that mend it.
    """
    provenance = model["provenance"]
    model_version = provenance["version"]
    if split_fingerprint(split_table) != provenance["split_fingerprint"]:
        raise InputError(
            f"model {model_version} was trained on the split of split_table "
            f"{provenance['split_table_version']}, not on that of {_version(split_table)}: its test "
            f"images may have been its training images. {_remedy(provenance)}"
        )
    if data_fingerprint(image_table) != provenance["data_fingerprint"]:
        raise InputError(
            f"model {model_version} was trained on the images of image_table "
            f"{provenance['image_table_version']}, not on those of {_version(image_table)}. "
            f"{_remedy(provenance)}"
        )
    _check_raw_images(image_table, raw_table, provenance)


def _check_raw_images(
    image_table: pd.DataFrame, raw_table: pd.DataFrame, provenance: dict[str, Any]
) -> None:
    keys = ["file", "image_id"]
    known = pd.MultiIndex.from_frame(raw_table[keys])
    unknown_images = ~pd.MultiIndex.from_frame(image_table[keys]).isin(known)
    if unknown_images.any():
        raise InputError(
            f"{int(unknown_images.sum())} images of image_table {_version(image_table)} (e.g. "
            f"{image_table.loc[unknown_images, 'file'].iloc[0]}) are not in raw_images "
            f"{_version(raw_table)}; they came from {provenance['raw_images_version']}. "
            f"{_remedy(provenance)}"
        )


def _version(table: pd.DataFrame) -> str:
    return str(table.attrs.get("version", "(unsaved)"))


def _remedy(provenance: dict[str, Any]) -> str:
    return (
        "Judge it on what it was trained on: kedro run --pipelines evaluate,report --load-versions "
        f"model:{provenance['version']},{load_versions(provenance)} -- or train on the data of today: "
        "kedro run --pipelines train,evaluate,report (same --env and --params)"
    )


def load_versions(provenance: dict[str, Any]) -> str:
    """Return the tables that a model was made from, in the form of ``--load-versions``."""
    names = ("split_table", "image_table", "raw_images")
    return ",".join(f"{name}:{provenance[name + '_version']}" for name in names)
