"""The model dict: what it holds, how it is read, and whether it belongs to these data."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.models.networks import build_network
from skin_lesions.models.state_dicts import read_tensors

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
    model = read_tensors(path, "train anew with: kedro run --pipelines train")
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


def network_of(model: dict[str, Any]) -> nn.Module:
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


def refuse_foreign(
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
    made_from = model["provenance"]
    model_version = made_from["version"]
    if split_fingerprint(split_table) != made_from["split_fingerprint"]:
        raise InputError(
            f"model {model_version} was trained on the split of split_table "
            f"{made_from['split_table_version']}, not on that of {_version(split_table)}: its test "
            f"images may have been its training images. {_remedy(made_from)}"
        )
    if data_fingerprint(image_table) != made_from["data_fingerprint"]:
        raise InputError(
            f"model {model_version} was trained on the images of image_table "
            f"{made_from['image_table_version']}, not on those of {_version(image_table)}. "
            f"{_remedy(made_from)}"
        )
    _refuse_other_raw_images(image_table, raw_table, made_from)


def _refuse_other_raw_images(
    image_table: pd.DataFrame, raw_table: pd.DataFrame, made_from: dict[str, Any]
) -> None:
    keys = ["file", "image_id"]
    known = pd.MultiIndex.from_frame(raw_table[keys])
    strangers = ~pd.MultiIndex.from_frame(image_table[keys]).isin(known)
    if strangers.any():
        raise InputError(
            f"{int(strangers.sum())} images of image_table {_version(image_table)} (e.g. "
            f"{image_table.loc[strangers, 'file'].iloc[0]}) are not in raw_images "
            f"{_version(raw_table)}; they came from {made_from['raw_images_version']}. "
            f"{_remedy(made_from)}"
        )


def _version(table: pd.DataFrame) -> str:
    return str(table.attrs.get("version", "(unsaved)"))


def _remedy(made_from: dict[str, Any]) -> str:
    return (
        "Judge it on what it was trained on: kedro run --pipelines evaluate,report --load-versions "
        f"model:{made_from['version']},{load_versions(made_from)} -- or train on the data of today: "
        "kedro run --pipelines train,evaluate,report (same --env and --params)"
    )


def load_versions(made_from: dict[str, Any]) -> str:
    """Return the tables that a model was made from, in the form of ``--load-versions``."""
    names = ("split_table", "image_table", "raw_images")
    return ",".join(f"{name}:{made_from[name + '_version']}" for name in names)
