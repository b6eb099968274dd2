"""The file of a localizer: a plain dict that loads without executing code.

The dict has these keys: ``format``, ``checksum``, each field of ``Localizer`` in its JSON form, and
``state_dict`` with the tensors by name.
"""

from pathlib import Path

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.models.localization.localizer import decoder_of_tensors
from skin_lesions.models.localization.localizer_model import LOCALIZER_FORMAT, Localizer
from skin_lesions.models.model_file import checked_content, content_checksum
from skin_lesions.models.state_dicts import load_tensors

_REMEDY = "Fit a localizer again: kedro run --pipelines localize"


def write_localizer(localizer: Localizer, path: Path) -> None:
    """Save a localizer as a plain dict, with the checksum of its content."""
    metadata = {"format": LOCALIZER_FORMAT, **localizer.model_dump(mode="json")}
    tensors = dict(localizer.state_dict)
    content = {
        **metadata,
        "checksum": content_checksum(metadata, tensors),
        "state_dict": tensors,
    }
    torch.save(content, path)


def read_localizer(path: Path) -> Localizer:
    """Load the file of a localizer without executing code in it. All tensors are on the CPU.

    Raises:
        InputError: The file is damaged or contains code, is no localizer, has another format, has
            changed since it was saved, or has invalid values.
    """
    content = load_tensors(path, _REMEDY)
    keys = {"format", "method", "classifier_sha256", "state_dict"}
    if not isinstance(content, dict) or not keys <= content.keys():
        raise InputError(f"{path} is not a localizer of this project. {_REMEDY}")
    localizer = checked_content(content, Localizer, LOCALIZER_FORMAT, "localizer", path, _REMEDY)
    try:
        if localizer.method == "dense":
            decoder_of_tensors(localizer)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise InputError(
            f"{path} is not a valid localizer: its decoder has other tensors ({detail}). {_REMEDY}"
        ) from None
    return localizer
