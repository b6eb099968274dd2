"""File ``config.json`` of a model bundle, in the layout of the Hugging Face Hub and timm.

Source:
    ``timm.models._hub.save_config_for_hf`` and ``timm.models.PretrainedCfg`` of timm 1.0.
"""

import json
from collections.abc import Mapping

from torch import nn

from skin_lesions import __version__
from skin_lesions.models.networks import TIMM, build_network, classifier_head
from skin_lesions.models.trained_model import TrainedModel

# Entries of timm about its own published weights.
_OF_PUBLISHED_WEIGHTS = (
    "url",
    "file",
    "hf_hub_id",
    "hf_hub_filename",
    "source",
    "state_dict",
    "tag",
    "label_offset",
    "custom_load",
    "test_input_size",
    "test_crop_pct",
    "test_pool_size",
    "min_input_size",
    "pool_size",
    "origin_url",
    "notes",
    "paper_ids",
    "paper_name",
    "description",
)


def config_text(model: TrainedModel, license_name: str) -> str:
    """Return the configuration as JSON.

    timm reads ``architecture`` and ``pretrained_cfg`` if the architecture is one of timm. Others
    have the same keys, but only torchvision can build them.

    Args:
        model: The model.
        license_name: License of the model, as in the front matter of the model card.
    """
    network = build_network(model.architecture, len(model.classes))
    head = classifier_head(network)
    preprocessing = model.preprocessing
    published = getattr(network, "pretrained_cfg", {})
    size = preprocessing.image_size
    pretrained_cfg = {
        **_without_published(published),
        "input_size": (3, size, size),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        # timm: "squash" stretches the image to a square.
        "crop_mode": "squash" if preprocessing.resize_mode == "stretch" else "center",
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "num_classes": len(model.classes),
        "classifier": _module_names(network, head),
        "license": license_name,
    }
    library = "timm" if model.architecture.startswith(TIMM) else "torchvision"
    config = {
        "architecture": _timm_name(model.architecture),
        "num_classes": len(model.classes),
        "num_features": _num_features(head),
        "label_names": model.classes,
        "pretrained_cfg": pretrained_cfg,
        "library": library,
        "software": f"skin-lesions {__version__}",
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _timm_name(architecture: str) -> str:
    """Return the name without the prefix and without the tag of published weights."""
    if architecture.startswith(TIMM):
        return architecture.removeprefix(TIMM).partition(".")[0]
    return architecture


def _without_published(config: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in config.items()
        if key not in _OF_PUBLISHED_WEIGHTS and value is not None
    }


def _module_names(network: nn.Module, head: nn.Module) -> str | list[str]:
    """Return the name of the head in the network; of each head if there are several."""
    heads = list(head) if isinstance(head, nn.ModuleList) else [head]
    found = [name for name, module in network.named_modules() if any(module is h for h in heads)]
    return found[0] if len(found) == 1 else found


def _num_features(head: nn.Module) -> int:
    """Return the number of inputs of the head."""
    layer = next(layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
