"""The model file: a plain dict that loads without executing code.

The dict has these keys: ``format``, ``checksum``, each field of ``TrainedModel`` in its JSON form,
and ``state_dict`` with the tensors by name. A model of crops also has ``localizer_state_dict`` with
those of its localizer.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard, TypeVar

import torch
from pydantic import BaseModel, ValidationError

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.models.state_dicts import load_tensors
from skin_lesions.models.trained_model import FORMAT, TrainedModel

Content = TypeVar("Content", bound=BaseModel)
_REMEDY = "Train a model again: kedro run --pipelines train"
# The hash of the tensors of a localizer is part of its JSON form.
_WITHOUT_CHECKSUM = ("checksum", "state_dict", "localizer_state_dict")


def write_model(model: TrainedModel, path: Path) -> None:
    """Save a model as a plain dict, with the checksum of its content."""
    content = {
        "format": FORMAT,
        **model.model_dump(mode="json"),
        "checksum": model_checksum(model),
        "state_dict": model.state_dict,
    }
    if model.localizer is not None:
        content["localizer_state_dict"] = model.localizer.state_dict
    torch.save(content, path)


def model_checksum(model: TrainedModel) -> str:
    """Return the checksum that the model file contains; see ``content_checksum``."""
    metadata = {"format": FORMAT, **model.model_dump(mode="json")}
    return content_checksum(metadata, model.state_dict)


def read_model(path: Path) -> TrainedModel:
    """Load a model file without executing code in it. All tensors are on the CPU.

    Raises:
        InputError: The file is damaged or contains code, is not a model file of this project, has
            another format, or its content does not match its checksum.
    """
    content = load_tensors(path, _REMEDY)
    if not is_model_content(content):
        raise InputError(f"{path} is not a model file of this project. {_REMEDY}")
    model = model_from_content(content, path)
    if model.localizer is None:
        return model
    tensors = content.get("localizer_state_dict")
    if not isinstance(tensors, Mapping) or (
        content_checksum({}, tensors) != model.localizer.tensors_sha256
    ):
        raise InputError(
            f"{path} has changed since it was saved: the tensors of its localizer do not match "
            f"their hash. Restore the original file if you have it. {_REMEDY}"
        )
    localizer = model.localizer.model_copy(update={"state_dict": tensors})
    return model.model_copy(update={"localizer": localizer})


def is_model_content(content: object) -> TypeGuard[dict[str, object]]:
    """Return whether a loaded file is a model file of this project, of any format."""
    keys = {"format", "architecture", "classes", "preprocessing", "state_dict"}
    return isinstance(content, dict) and keys <= content.keys()


def model_from_content(
    content: Mapping[str, object], path: Path, remedy: str = _REMEDY
) -> TrainedModel:
    """Check the content of a model file and return the model without tensors of a localizer.

    ``remedy`` ends an error message.

    Raises:
        InputError: As for ``read_model``; the message contains ``path``.
    """
    return checked_content(content, TrainedModel, FORMAT, "model file", path, remedy)


def checked_content(
    content: Mapping[str, object],
    schema: type[Content],
    expected_format: int,
    called: str,
    path: Path,
    remedy: str,
) -> Content:
    """Check the format, the checksum and the values of a loaded file.

    Args:
        content: The keys ``format``, ``checksum`` and ``state_dict``, and the fields of the schema.
        schema: Class of the result, with a field ``state_dict``.
        expected_format: Format that this version reads.
        called: What the file is, for error messages.
        path: The file, for error messages.
        remedy: Last sentence of an error message.

    Raises:
        InputError: The content has another format, has changed since it was saved, or is not valid.
    """
    if content["format"] != expected_format:
        raise InputError(
            f"{path} has format {printable(content['format'])} of the {called}. Expected format "
            f"{expected_format}, which this version of skin-lesions writes. {remedy}"
        )
    metadata = {k: v for k, v in content.items() if k not in _WITHOUT_CHECKSUM}
    state_dict = content["state_dict"]
    if not isinstance(state_dict, Mapping):
        raise InputError(f"{path} contains no tensors (state_dict). {remedy}")
    if content.get("checksum") != content_checksum(metadata, state_dict):
        raise InputError(
            f"{path} has changed since it was saved: its content does not match its checksum. "
            f"Restore the original file if you have it. {remedy}"
        )
    del metadata["format"]
    try:
        return schema.model_validate({**metadata, "state_dict": state_dict})
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{path} is not a valid {called}: {name}: {problem['msg']}. {remedy}"
        ) from None


def content_checksum(metadata: Mapping[str, object], state_dict: Mapping[str, object]) -> str:
    """Return the SHA-256 hash of the metadata (as JSON) and of all tensors, 64 hex digits."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True, default=str).encode())
    for name, tensor in sorted(state_dict.items()):
        digest.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
