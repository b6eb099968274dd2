"""Identity of a training: everything that determines its weights."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from pydantic_core import to_jsonable_python

from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.data.pixel_store import DECODER_VERSION
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.weights_origin import WeightsOrigin
from skin_lesions.training.network_metadata import NetworkMetadata

PACKAGE = Path(__file__).parents[1]
# Parameters that do not change the result. Initial weights are identified by their content
# instead, because the file may be moved.
_NOT_IN_IDENTITY = {
    "allow_leaky_weights",
    "checkpoint_interval_minutes",
    "conformal_coverage",
    "decision",
    "fusion",  # a network that is trained with metadata is identified by them
    "keep_freed_memory",
    "metadata_dropout",  # the same
    "ray",
    "referral_accuracy",
    "test_time_augmentation",
    "unknown_score",
    "weights",
    "weights_sha256",
}
# Source files that shape the weights. Folders are included as a whole, so that a new module is
# included until it is listed below: a training that starts again is better than wrong weights.
_SOURCES = (
    "config/train.py",
    "data/decoding.py",
    "data/image_files.py",
    "data/loader.py",
    "data/pixel_store.py",
    "data/preprocessing.py",
    "data/preprocessing_settings.py",
    "models/**/*.py",
    "pipelines/train/nodes.py",  # selects and orders the images
    "training/**/*.py",
)
_OTHER_SOURCES = (
    "models/bundle_files.py",  # the weights are identified by their content
    "models/bundle_weights.py",  # the same
    "models/downloads.py",  # the weights are identified by their content
    "models/features.py",  # used after the training
    "models/grad_cam.py",  # used after the training
    "models/localization/*.py",  # only used for crops, see _CROP_SOURCES
    "models/map_layers.py",  # the same
    "models/model_file.py",  # written after the training
    "models/onnx_names.py",  # used after the training
    "models/pooled_maps.py",  # used after the training
    "models/postprocessing/*.py",  # fitted after the training
    "models/trained_model.py",  # describes the result
    "models/weights.py",  # finds the weights, which are identified by their content
    "training/preflight.py",  # checks only
    "training/weights_leakage.py",  # checks only
)
_CROP_SOURCES = ("models/localization/*.py",)  # shape the weights of a model of crops


def training_identity(
    split_table: pd.DataFrame,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    origin: WeightsOrigin,
    metadata: NetworkMetadata | None,
    crops: str | None,
) -> dict[str, object]:
    """Return everything that determines the weights.

    ``crops`` is a hash of what determines the lesions that the inputs are crops of, or None.

    A training resumes from a checkpoint only if their identities are equal.
    """
    return {
        "train": recipe.model_dump(mode="json", exclude=_NOT_IN_IDENTITY),
        "initial weights": {"sha256": origin.sha256, "head": origin.head},
        "preprocess": to_jsonable_python(preprocessing),
        "crops": None if crops is None else [crops, code_hash(sources=_CROP_SOURCES, others=())],
        "metadata": None if metadata is None else _metadata_identity(metadata, recipe),
        "image split": split_fingerprint(split_table),
        "decoder": DECODER_VERSION,
        "training code": code_hash(),
        "libraries": library_versions(recipe),
    }


def _metadata_identity(metadata: NetworkMetadata, recipe: TrainRecipe) -> dict[str, object]:
    digest = hashlib.sha256(metadata.train.tobytes() + metadata.val.tobytes())
    return {
        "columns": list(metadata.columns),
        "values": digest.hexdigest()[:16],
        "dropout": recipe.metadata_dropout,
    }


def library_versions(recipe: TrainRecipe) -> dict[str, str]:
    """Return the versions of the libraries that a training depends on."""
    names = ["torch", "torchvision", "numpy", "scikit-learn"]
    if recipe.architecture.startswith("timm/"):
        names.append("timm")
    return {name: version(name).split("+")[0] for name in names}


def code_hash(
    package: Path = PACKAGE,
    sources: tuple[str, ...] = _SOURCES,
    others: tuple[str, ...] = _OTHER_SOURCES,
) -> str:
    """Return a hash of the code that shapes weights: 8 hexadecimal digits.

    The version of the package is not used: it does not change with every edit of the code, and it
    changes with releases that do not change the training.
    """
    digest = hashlib.sha256()
    for path in sorted(_matches(package, sources) - _matches(package, others)):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _matches(package: Path, patterns: tuple[str, ...]) -> set[Path]:
    return {path for pattern in patterns for path in package.glob(pattern)}
