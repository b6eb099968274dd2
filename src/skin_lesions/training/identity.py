"""What identifies a training: everything that shapes its weights."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.data.pixel_store import DECODER_VERSION
from skin_lesions.data.preprocessing import Preprocessing

# Weights are known by their content instead: a file may be moved.
_SHAPES_NO_WEIGHTS = {
    *("checkpoint_interval_minutes", "ray", "test_time_augmentation", "weights", "weights_sha256")
}


def training_identity(
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
        "decoder": DECODER_VERSION,
        "skin-lesions": f"{__version__} ({_code_hash()})",
        "libraries": library_versions(recipe),
    }


def library_versions(recipe: TrainRecipe) -> dict[str, str]:
    """Return the versions of the libraries that a training depends on."""
    names = ["torch", "torchvision", "numpy", "scikit-learn"]
    if recipe.architecture.startswith("timm/"):
        names.append("timm")
    return {name: version(name).split("+")[0] for name in names}


def _code_hash() -> str:
    """Name the code of this package by its content: who works on it doesn't raise its version."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
