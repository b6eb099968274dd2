"""Name and starting weights -> network with a head for our classes."""

import logging

import torch
import torchvision
from torch import nn

from skin_lesions.errors import InputError

log = logging.getLogger(__name__)

ARCHITECTURES = ("resnet18",)


def build_network(architecture: str, classes: int) -> nn.Module:
    """Build a network with random weights and a head of ``classes`` outputs (logits).

    Raises:
        InputError: No such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"train.architecture {architecture!r} is not known; there are: {', '.join(ARCHITECTURES)}"
        )
    network: nn.Module = torchvision.models.get_model(architecture, weights=None)
    head = network.get_submodule("fc")
    network.add_module("fc", nn.Linear(int(head.in_features), classes))  # type: ignore[arg-type]
    return network


def starting_network(architecture: str, weights: str, classes: int, seed: int) -> nn.Module:
    """Build the network that training starts from.

    Args:
        architecture: A name of ``ARCHITECTURES``.
        weights: ``imagenet`` (torchvision's, downloaded once) or ``none`` (random).
        classes: Number of outputs.
        seed: For the random weights; the head is always random.

    Raises:
        InputError: The weights can't be had. Random ones never take their place.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture, classes)
    if weights == "imagenet":
        _load_backbone(network, _imagenet_weights(architecture))
    elif weights != "none":
        raise InputError(f"train.weights {weights!r} is not known; take imagenet or none")
    return network


def _imagenet_weights(architecture: str) -> dict[str, torch.Tensor]:
    weights = torchvision.models.get_model_weights(architecture).DEFAULT
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; or a file that is not what it should be
        raise InputError(
            f"the ImageNet weights of {architecture} can't be had: {error}. Download {weights.url} "
            f"on a machine with a network and put the file into {torch.hub.get_dir()}/checkpoints, "
            "or train from random weights on purpose: --params train.weights=none"
        ) from error
    return state


def _load_backbone(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Load all but the head, whose shape depends on the classes."""
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    missing, unexpected = network.load_state_dict(backbone, strict=False)
    if unexpected or set(missing) - {"fc.weight", "fc.bias"}:
        raise InputError(
            f"these weights are of another architecture: {[*missing, *unexpected][:3]}"
        )
