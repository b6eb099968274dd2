"""Name and starting weights -> network with a head for our classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torchvision
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, suggest
from skin_lesions.models.state_dicts import (
    State,
    extract_state_dict,
    load_compatible_state_dict,
    load_tensors,
    rename_by_position,
    rename_keys,
)
from skin_lesions.models.weights import PACKAGE, WeightsFile, resolve_weights, sha256_in_filename

_TIMM = "timm/"
# Their second outputs only help to train from nothing, and are left out. Their ImageNet weights want
# inputs from -1 to 1, which transform_input makes of inputs that are normalised as usual.
_INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": True}
_OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
_SECOND_OUTPUTS = ("aux1.", "aux2.", "AuxLogits.")
# The network is built for 224 pixels, and torchvision's default weights are for 518.
_IMAGENET_WEIGHTS = {"vit_h_14": "IMAGENET1K_SWAG_LINEAR_V1"}
# Names within DenseNets when torchvision's weights were saved: norm.1, now norm1.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
_MIN_LAYER_GROUPS = 5
_HEAD_DEVIATION = 0.01  # of the weights of a new head on learned features


@dataclass(frozen=True)
class InitialNetwork:
    """What training starts from.

    Attributes:
        network: Its head gives one logit per class.
        mean, std: What its inputs are normalised with, per channel (RGB), of values from 0 to 1.
        origin: Where its weights came from, in plain values for the model file.
    """

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: dict[str, Any]


def build_network(architecture: str, classes: int) -> nn.Module:
    """Build a network with random weights and a head of ``classes`` outputs (logits).

    Args:
        architecture: Any classifier of torchvision by its name there, or ``timm/<name>``.
        classes: Number of outputs.

    Raises:
        InputError: No such architecture, or it is timm's and timm is not installed.
    """
    check_architecture(architecture)
    network: nn.Module
    if architecture.startswith(_TIMM):
        name = architecture.removeprefix(_TIMM)
        network = _timm().create_model(name, pretrained=False, num_classes=classes)
    else:
        options = _OPTIONS.get(architecture, {})
        network = torchvision.models.get_model(
            architecture, weights=None, num_classes=classes, **options
        )
    return network


def check_architecture(architecture: str) -> None:
    """Refuse a name that is no architecture.

    Raises:
        InputError: Says which names are like it, or that timm is not installed.
    """
    if architecture.startswith(_TIMM):
        timm = _timm()
        models = [*timm.list_models(), *timm.list_models(pretrained=True)]
        known, listing = [_TIMM + name for name in models], "timm.list_models() has all"
    else:
        known = torchvision.models.list_models(module=torchvision.models)
        listing = f"there are timm/<name> and {', '.join(known)}"
    if architecture in known:
        return
    raise InputError(
        f"train.architecture {printable(architecture)!r} is not known; "
        f"{suggest(architecture, known, 3, listing)}"
    )


def _timm() -> Any:
    try:
        import timm  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(
            "the architectures timm/<name> need timm, which is not installed; install it with: "
            "pip install -c requirements.lock -e '.[timm]'"
        ) from None
    return timm


def create_network(
    architecture: str,
    weights: str,
    weights_sha256: str | None,
    classes: Sequence[str],
    image_size: int,
    seed: int,
) -> InitialNetwork:
    """Build the network that training starts from.

    Args:
        architecture: As for ``build_network``.
        weights: ``imagenet``, ``package:<distribution>``, a URL or a path, or ``none`` (random).
            What a file holds besides the head must fit in full. The head comes along if it is for
            as many classes and, where the file is a model of ours, for the same ones.
        weights_sha256: What the file of weights must have.
        classes: The outputs, in order.
        image_size: Edge of the images to come, pixels.
        seed: For the random weights; a head that does not come along is always random.

    Raises:
        InputError: No such architecture, it can't take in such images, or the weights can't be
            had or don't fit. Random ones never take their place.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture, len(classes))
    check_image_size(network, architecture, image_size)
    mean, std = _input_normalization(network, architecture)
    start = InitialNetwork(network, mean, std, {"weights": weights})
    if weights == "none":
        return start
    return _load_weights(
        start, architecture, resolve_initial_weights(architecture, weights, weights_sha256), classes
    )


def resolve_initial_weights(
    architecture: str, weights: str, weights_sha256: str | None
) -> WeightsFile:
    """Find the file that ``train.weights`` names for an architecture, or download it.

    Raises:
        InputError: No such architecture or file, it can't be had, or it is another one.
    """
    check_architecture(architecture)
    if weights != "imagenet":
        return resolve_weights(weights, weights_sha256)
    return resolve_weights(_imagenet_url(architecture), weights_sha256, hash_in_filename=True)


def _imagenet_url(architecture: str) -> str:
    if not architecture.startswith(_TIMM):
        kinds = torchvision.models.get_model_weights(architecture)
        return str(kinds[_IMAGENET_WEIGHTS.get(architecture, "DEFAULT")].url)
    published = _timm().get_pretrained_cfg(architecture.removeprefix(_TIMM))
    if published and sha256_in_filename(published.url or ""):
        return str(published.url)
    hub = f"https://huggingface.co/{published.hf_hub_id}" if published else "its authors' pages"
    raise InputError(
        f"train.weights=imagenet: no weights of {architecture} are published with a checksum that "
        f"could be held against them. Download a .pth, .pt or .bin file (see {hub}) and give its "
        "place: --params train.weights=/path/to/the/file"
    )


def _load_weights(
    start: InitialNetwork, architecture: str, file: WeightsFile, classes: Sequence[str]
) -> InitialNetwork:
    """Put a file of weights into the network."""
    content = load_tensors(file.path, "give another file of weights in train.weights")
    state = _adapted(extract_state_dict(content, file.path), architecture)
    head_names = _head_names(start.network)
    if start.origin["weights"].startswith(PACKAGE):
        state = rename_by_position(state, start.network, head_names)
    if {"format", "architecture", "classes", "preprocessing"} <= content.keys():  # a model of ours
        if content["architecture"] != architecture:
            raise InputError(
                f"{file.path} is a model of another architecture, {printable(content['architecture'])}, "
                f"not {architecture}; set train.architecture to it"
            )
        mean, std = (tuple(content["preprocessing"][key]) for key in ("mean", "std"))
        start = replace(start, mean=mean, std=std)
        if list(content["classes"]) != list(classes):
            for name in head_names:
                state.pop(name, None)
    misfit = (
        f"{file.path} holds no weights of {architecture}, or of another version of it "
        "(train.architecture and train.weights must belong together)"
    )
    has_head = load_compatible_state_dict(start.network, state, head_names, misfit)
    if not has_head:
        _init_head_near_zero(classifier_head(start.network))
    told = {"file": file.path.name, "sha256": file.sha256, "head": "kept" if has_head else "new"}
    return replace(start, origin=start.origin | told)


@torch.no_grad()
def _init_head_near_zero(head: nn.Module) -> None:
    """Draw small weights for a new head, so that at first all classes seem alike.

    As they come, they are right for random features; on learned ones they cost the first epochs
    (timm's EfficientNet begins with twice the loss of a guess). Some come as zeros, and some have
    norms of their own.
    """
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if layer.weight.any():
                layer.weight.mul_(_HEAD_DEVIATION / layer.weight.std())
            if layer.bias is not None:
                layer.bias.zero_()


def _adapted(state: State, architecture: str) -> State:
    """Bring what torchvision published into the shape that its networks have today."""
    if architecture in _OPTIONS:
        for name in [name for name in state if name.startswith(_SECOND_OUTPUTS)]:
            del state[name]
    if architecture.startswith("densenet"):
        return rename_keys(state, lambda name: _OLD_DENSENET.sub(r"\1\2", name))
    return state


def _input_normalization(
    network: nn.Module, architecture: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation that the published weights were trained with."""
    if architecture.startswith(_TIMM):
        published: Any = network.pretrained_cfg
        return tuple(published["mean"]), tuple(published["std"])
    transforms = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def check_image_size(network: nn.Module, architecture: str, image_size: int) -> None:
    """Try one image: some networks take one size alone, others have a smallest one.

    Raises:
        InputError: The network fails; names the size that it is made for.
    """
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        usual = _default_image_size(network, architecture)
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"train.image_size: {architecture} can't take in images of {image_size} x {image_size} "
            f"pixels ({printable(first_line)}); it is made for {usual}: --params "
            f"train.image_size={usual},ingest.stored_image_size={max(usual, 256)}"
        ) from None
    network.train()


def _default_image_size(network: Any, architecture: str) -> int:
    if architecture.startswith(_TIMM):
        return int(network.pretrained_cfg["input_size"][-1])
    published = torchvision.models.get_model_weights(architecture).DEFAULT.transforms().crop_size
    return int(getattr(network, "image_size", published[0]))


def classifier_head(network: nn.Module) -> nn.Module:
    """Return the layer that gives the logits: the last one that is linear (or a convolution)."""
    if hasattr(network, "get_classifier"):  # timm
        found: Any = network.get_classifier()  # type: ignore[operator]
        return nn.ModuleList(found) if isinstance(found, tuple) else found
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]


def _head_names(network: nn.Module) -> set[str]:
    of_head = {id(parameter) for parameter in classifier_head(network).parameters()}
    return {name for name, parameter in network.named_parameters() if id(parameter) in of_head}


def to_sync_batchnorm(network: nn.Module) -> nn.Module:
    """Make batch norms take their statistics over all processes; weights and outputs stay.

    timm's batch norms hold the activation that follows them, which torch's own conversion loses.
    """
    if any(type(module).__module__.startswith("timm.") for module in network.modules()):
        from timm.layers import convert_sync_batchnorm  # type: ignore[attr-defined] # noqa: PLC0415

        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def layer_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    """Divide all parameters into groups of layers, the stem first, the head last.

    For learning rates by depth. The groups are the network's own parts; the largest are opened into
    theirs until there are enough. Norms and embeddings join the layer before them.

    Returns:
        Every parameter once, in order of the layers; at least five groups where the network
        has so many parts.
    """
    last = list(classifier_head(network).parameters())
    of_head = {id(parameter) for parameter in last}
    parts = _expand(network)
    while True:
        groups = _parameter_groups(parts, of_head)
        closed = [p for p in parts if isinstance(p, nn.Module) and any(p.children())]
        if len(groups) + 1 >= _MIN_LAYER_GROUPS or not closed:
            return [*groups, last]
        # By tensors, not by their size: the wide layers of VGG's classifier are few.
        largest = max(closed, key=lambda part: len(list(part.parameters())))
        at = next(i for i, part in enumerate(parts) if part is largest)
        parts[at : at + 1] = _expand(largest)


def _expand(module: nn.Module) -> list[nn.Module | nn.Parameter]:
    return [*module.parameters(recurse=False), *module.children()]


def _parameter_groups(
    parts: list[nn.Module | nn.Parameter], excluded: set[int]
) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = []
    embeddings: list[nn.Parameter] = []  # class token, positions: they stand before any layer
    for part in parts:
        is_embedding = isinstance(part, nn.Parameter)
        found = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
        found = [parameter for parameter in found if id(parameter) not in excluded]
        if groups and (is_embedding or all(parameter.ndim == 1 for parameter in found)):
            groups[-1] += found
        elif is_embedding:
            embeddings += found
        elif found:
            groups.append([*embeddings, *found])
            embeddings = []
    return groups
