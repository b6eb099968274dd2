"""Weights of a model bundle, as the content of a model file. No file content is executed."""

from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.models.bundle_files import (
    MISSING_EXTRA,
    WEIGHTS,
    is_bundle,
    read_content,
    verify_checksums,
)


def is_bundle_weights(path: Path) -> bool:
    """Return whether a path is the weights file of a model bundle."""
    return path.name == WEIGHTS and is_bundle(path.parent)


def load_bundle_content(folder: Path) -> dict[str, object]:
    """Return what ``torch.load`` returns for the model file that a bundle was made from.

    Raises:
        InputError: A file of the bundle is missing, has changed or cannot be read, or safetensors
            is not installed.
    """
    try:
        from safetensors import SafetensorError  # noqa: PLC0415 (an extra)
        from safetensors.torch import load_file  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(MISSING_EXTRA.format("safetensors")) from None
    verify_checksums(folder)
    content: dict[str, object] = dict(read_content(folder))
    content.pop("version", None)  # the version in the catalog is not part of a model file
    path = folder / WEIGHTS
    try:
        content["state_dict"] = load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{printable(path)} cannot be read: {printable(error)}") from None
    return content
