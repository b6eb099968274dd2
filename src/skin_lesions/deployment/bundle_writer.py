"""Writer of model bundles: a folder with everything that predictions and reviews need."""

from importlib.resources import files
from pathlib import Path

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.bundle_config import config_text
from skin_lesions.deployment.bundle_content import ModelBundle
from skin_lesions.deployment.licenses import licenses_text
from skin_lesions.models import bundle_files
from skin_lesions.models.bundle_files import (
    MISSING_EXTRA,
    localizer_text,
    manifest_text,
    model_text,
)
from skin_lesions.models.model_file import model_checksum
from skin_lesions.reporting.front_matter import license_name


def write_bundle(bundle: ModelBundle, folder: Path) -> None:
    """Write a bundle into a new folder.

    Raises:
        InputError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise InputError(MISSING_EXTRA.format("safetensors")) from None
    model = bundle.model
    folder.mkdir()
    # Tensors must be contiguous, and must not share memory.
    tensors = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in model.state_dict.items()
        if isinstance(value, torch.Tensor)
    }
    weights = save(tensors, metadata={"format": "pt"})
    (folder / bundle_files.WEIGHTS).write_bytes(weights)
    (folder / bundle_files.NETWORK).write_bytes(bundle.network)
    if bundle.lesion_network is not None:
        (folder / bundle_files.LESION_NETWORK).write_bytes(bundle.lesion_network)
    templates = files("skin_lesions.deployment").joinpath("templates")
    texts = {
        bundle_files.CONFIG: config_text(model, license_name(model)),
        bundle_files.MODEL: model_text(model, model_checksum(model)),
        bundle_files.MANIFEST: manifest_text(bundle.manifest.itertuples(index=False, name=None)),
        bundle_files.CARD: bundle.card,
        bundle_files.LICENSES: licenses_text(model),
        bundle_files.SCRIPT: templates.joinpath(bundle_files.SCRIPT).read_text(encoding="utf-8"),
    }
    if bundle.localizer is not None:
        name = bundle_files.LESION_SCRIPT
        texts[name] = templates.joinpath(name).read_text(encoding="utf-8")
        texts[bundle_files.LOCALIZER] = localizer_text(bundle.localizer)
    for filename, text in texts.items():
        # Equal on all systems, because the checksums are.
        (folder / filename).write_text(text, encoding="utf-8", newline="\n")
    bundle_files.write_checksums(folder)
