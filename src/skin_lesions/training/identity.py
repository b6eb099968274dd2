"""Identity of a training: everything that determines its weights."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.data.pixel_store import DECODER_VERSION
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.weights_origin import WeightsOrigin

# Parameters that do not change the result. Initial weights are identified by their content
# instead, because the file may be moved.
_NOT_IN_IDENTITY = {
    *("checkpoint_interval_minutes", "ray", "test_time_augmentation", "weights", "weights_sha256")
}


def training_identity(
    split_table: pd.DataFrame,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    origin: WeightsOrigin,
) -> dict[str, Any]:
    """Return everything that determines the weights.

    A training resumes from a checkpoint only if their identities are equal.
    """
    return {
        "train": recipe.model_dump(mode="json", exclude=_NOT_IN_IDENTITY),
        "initial weights": {"sha256": origin.sha256, "head": origin.head},
        "preprocess": preprocessing.to_model(),
        "image split": split_fingerprint(split_table),
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
    """Return a hash of the code of this package; its version does not change with every edit."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
