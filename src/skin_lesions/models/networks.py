"""Networks: architectures of torchvision and timm, initial weights, and the classifier head."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict, cast

import torch
import torchvision
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import redact
from skin_lesions.core.text import printable, suggest
from skin_lesions.models.bundle_weights import is_bundle_weights, load_bundle_content
from skin_lesions.models.model_file import is_model_content, model_from_content
from skin_lesions.models.state_dicts import (
    State,
    check_tensor_values,
    extract_state_dict,
    load_compatible_state_dict,
    load_tensors,
    rename_keys,
)
from skin_lesions.models.weights import WeightsFile, resolve_weights, sha256_in_filename
from skin_lesions.models.weights_origin import WeightsOrigin

TIMM = "timm/"
# The auxiliary heads help only when training from random weights, and are not built. The ImageNet
# weights expect inputs from -1 to 1. transform_input converts inputs with the usual normalization.
_INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": True}
_OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
# The network is built for 224 pixels, but the default weights of torchvision are for 518.
_IMAGENET_WEIGHTS = {"vit_h_14": "IMAGENET1K_SWAG_LINEAR_V1"}
# The published DenseNet weights of torchvision have old names: norm.1, now norm1.
_OLD_DENSENET_NAME = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
_MIN_LAYER_GROUPS = 5  # minimum number of groups for layer-wise learning rates
_HEAD_STD = 0.01  # standard deviation of the weights of a new head on pretrained features


@dataclass(frozen=True, kw_only=True)
class InitialNetwork:
    """A network with the initial weights of a training.

    Attributes:
        network: Network whose head returns one logit per class.
        mean, std: Normalization of its inputs, per channel (RGB), for values from 0 to 1.
        origin: Source of its weights.
    """

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: WeightsOrigin


def build_network(architecture: str, classes: int) -> nn.Module:
    """Build a network with random weights and a head of ``classes`` outputs (logits).

    Args:
        architecture: Name of any torchvision classifier, or ``timm/<name>``.
        classes: Number of outputs.

    Raises:
        InputError: The architecture is unknown, or timm is required but not installed.
    """
    check_architecture(architecture)
    network: nn.Module
    if architecture.startswith(TIMM):
        name = architecture.removeprefix(TIMM)
        network = _timm().create_model(name, pretrained=False, num_classes=classes)
    else:
        options = _OPTIONS.get(architecture, {})
        network = torchvision.models.get_model(
            architecture, weights=None, num_classes=classes, **options
        )
    return network


def check_architecture(architecture: str) -> None:
    """Check that an architecture exists.

    Raises:
        InputError: The architecture is unknown (the message suggests similar names), or timm is
            required but not installed.
    """
    if architecture.startswith(TIMM):
        timm = _timm()
        models = [*timm.list_models(), *timm.list_models(pretrained=True)]
        known = [TIMM + name for name in models]
        listing = "timm.list_models() lists all of them"
    else:
        known = torchvision.models.list_models(module=torchvision.models)
        listing = f"expected timm/<name> or one of {', '.join(known)}"
    if architecture in known:
        return
    raise InputError(
        f"Unknown train.architecture {printable(architecture)!r}: "
        f"{suggest(architecture, known, 3, listing)}"
    )


class _TimmConfig(TypedDict):
    """Attribute ``pretrained_cfg`` of a timm network, as far as it is used here."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int, int]  # channels, height, width


class _TimmWeights(Protocol):
    """Published weights of a timm architecture."""

    url: str | None
    hf_hub_id: str | None


class _Timm(Protocol):
    """Functions of timm that are used here; timm has no complete type hints."""

    def create_model(self, model_name: str, *, pretrained: bool, num_classes: int) -> nn.Module: ...

    def list_models(self, *, pretrained: bool = False) -> list[str]: ...

    def get_pretrained_cfg(self, model_name: str) -> _TimmWeights | None: ...


def _timm() -> _Timm:
    """Import timm, which is optional."""
    try:
        import timm  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(
            "Architectures timm/<name> require timm, which is not installed. Install it with: "
            "pip install -c requirements.lock -e '.[timm]'"
        ) from None
    return cast(_Timm, timm)


def _timm_config(network: nn.Module) -> _TimmConfig:
    return cast(_TimmConfig, network.pretrained_cfg)


def create_network(
    *,
    architecture: str,
    weights: str,
    weights_sha256: str | None,
    classes: Sequence[str],
    image_sizes: Iterable[int],
    seed: int,
) -> InitialNetwork:
    """Build a network with the initial weights of a training.

    Args:
        architecture: As for ``build_network``.
        weights: ``imagenet``, a URL, the path of a file or of a model bundle, or ``none`` (random).
            All tensors of a file except those of the head must match. The head is loaded if it has
            the same number of classes and, for a model of this project, the same class names.
        weights_sha256: Expected sha256 of the weights file, 64 hex digits, or None.
        classes: The outputs, in order.
        image_sizes: Each width and height of images in training and evaluation, pixels.
        seed: Seed of the random weights. A head that is not loaded always has random weights.

    Raises:
        InputError: The architecture is unknown or does not accept these image sizes, or the weights
            are not available or do not match. They are never replaced by random weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture, len(classes))
    for size in image_sizes:
        check_image_size(network, architecture, size)
    mean, std = _input_normalization(network, architecture)
    start = InitialNetwork(
        network=network, mean=mean, std=std, origin=WeightsOrigin(weights=redact(weights))
    )
    if weights == "none":
        return start
    file = resolve_initial_weights(
        architecture=architecture, weights=weights, weights_sha256=weights_sha256
    )
    return _load_weights(start, architecture, file, classes)


def resolve_initial_weights(
    *, architecture: str, weights: str, weights_sha256: str | None
) -> WeightsFile:
    """Return the weights file of ``train.weights`` for an architecture; download it if necessary.

    Raises:
        InputError: The architecture is unknown, or the file does not exist, cannot be downloaded,
            or has another sha256.
    """
    check_architecture(architecture)
    if weights != "imagenet":
        return resolve_weights(weights, weights_sha256)
    return resolve_weights(_imagenet_url(architecture), weights_sha256, hash_in_filename=True)


def _imagenet_url(architecture: str) -> str:
    if not architecture.startswith(TIMM):
        kinds = torchvision.models.get_model_weights(architecture)
        return str(kinds[_IMAGENET_WEIGHTS.get(architecture, "DEFAULT")].url)
    published = _timm().get_pretrained_cfg(architecture.removeprefix(TIMM))
    if published and sha256_in_filename(published.url or ""):
        return str(published.url)
    hub = (
        f"https://huggingface.co/{published.hf_hub_id}" if published else "the pages of its authors"
    )
    raise InputError(
        f"train.weights=imagenet: no weights of {architecture} are published with a checksum to "
        f"verify them. Download a .pth, .pt or .bin file (see {hub}) and set its path: "
        "--params train.weights=/path/to/the/file"
    )


def _load_weights(
    start: InitialNetwork, architecture: str, file: WeightsFile, classes: Sequence[str]
) -> InitialNetwork:
    """Load a weights file into the network."""
    remedy = "Set train.weights to another weights file"
    if is_bundle_weights(file.path):
        content: object = load_bundle_content(file.path.parent)
    else:
        content = load_tensors(file.path, remedy)
    state = _convert_published_state(extract_state_dict(content, file.path), architecture)
    head_names = head_parameter_names(start.network)
    origin = start.origin
    if is_model_content(content):
        model = model_from_content(content, file.path, remedy)
        if model.architecture != architecture:
            raise InputError(
                f"{file.path} is a model of another architecture "
                f"({printable(model.architecture)}, not {architecture}). Set "
                "train.architecture to the architecture of the model"
            )
        start = replace(start, mean=model.preprocessing.mean, std=model.preprocessing.std)
        before = model.initial_weights  # of the model that is loaded
        origin = replace(
            origin,
            train_image_ids=tuple(sorted({*model.train_image_ids, *before.train_image_ids})),
            val_image_ids=tuple(sorted({*model.val_image_ids, *before.val_image_ids})),
        )
        if model.classes != tuple(classes):
            for name in head_names:
                state.pop(name, None)
    check_tensor_values(state, start.network, file.path)
    error_prefix = (
        f"{file.path} contains no weights of {architecture}, or those of another version of it "
        "(train.architecture and train.weights must match)"
    )
    has_head = load_compatible_state_dict(start.network, state, head_names, error_prefix)
    if not has_head:
        _init_head_near_zero(classifier_head(start.network))
    origin = replace(
        origin,
        file=file.path.name,
        sha256=file.sha256,
        head="loaded" if has_head else "new",
    )
    return replace(start, origin=origin)


@torch.no_grad()
def _init_head_near_zero(head: nn.Module) -> None:
    """Set small weights and zero biases in a new head, so that all classes are equally likely.

    The default weights are suitable for random features. With pretrained features they cost the
    first epochs: EfficientNet of timm begins with twice the loss of uniform predictions. The heads
    of some architectures have zero weights, which are not scaled, or contain normalization layers,
    which do not change.
    """
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if layer.weight.any():
                layer.weight.mul_(_HEAD_STD / layer.weight.std())
            if layer.bias is not None:
                layer.bias.zero_()


def _convert_published_state(state: State, architecture: str) -> State:
    """Convert the published tensors of torchvision to the names of its current networks."""
    if architecture in _OPTIONS:
        for name in [name for name in state if name.startswith(_AUXILIARY_HEADS)]:
            del state[name]
    if architecture.startswith("densenet"):
        return rename_keys(state, lambda name: _OLD_DENSENET_NAME.sub(r"\1\2", name))
    return state


def _input_normalization(
    network: nn.Module, architecture: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation with which the published weights were trained."""
    if architecture.startswith(TIMM):
        config = _timm_config(network)
        return tuple(config["mean"]), tuple(config["std"])
    transforms = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def check_image_size(network: nn.Module, architecture: str, image_size: int) -> None:
    """Run the network on one image: some networks have a fixed or a minimum image size.

    Raises:
        InputError: The network fails. The message has its default image size.
    """
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        default_size = _default_image_size(network, architecture)
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"{architecture} does not accept images of {image_size} x {image_size} pixels "
            f"({printable(first_line)}). Set its default size of {default_size} for all epochs and "
            f"evaluation: --params train.image_size={default_size},ingest.stored_image_size="
            f"{max(default_size, 256)},train.progressive_resizing_start=1,train.eval_size_ratio=1"
        ) from None
    network.train()


def _default_image_size(network: nn.Module, architecture: str) -> int:
    if architecture.startswith(TIMM):
        return _timm_config(network)["input_size"][-1]
    published = torchvision.models.get_model_weights(architecture).DEFAULT.transforms().crop_size
    return int(getattr(network, "image_size", published[0]))


def classifier_head(network: nn.Module) -> nn.Module:
    """Return the layer that computes the logits: the last linear or convolutional layer."""
    if hasattr(network, "get_classifier"):  # timm
        head: nn.Module | tuple[nn.Module, ...] = network.get_classifier()  # type: ignore[operator]
        return nn.ModuleList(head) if isinstance(head, tuple) else head
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]


def head_parameter_names(network: nn.Module) -> set[str]:
    """Return the names of the parameters of ``classifier_head``."""
    head_ids = {id(parameter) for parameter in classifier_head(network).parameters()}
    return {name for name, parameter in network.named_parameters() if id(parameter) in head_ids}


def to_sync_batchnorm(network: nn.Module) -> nn.Module:
    """Convert batch norms so that they compute their statistics over all processes.

    Weights and outputs do not change. The batch norm layers of timm contain the following
    activation, which the conversion of torch would drop.
    """
    if any(type(module).__module__.startswith("timm.") for module in network.modules()):
        from timm.layers import convert_sync_batchnorm  # type: ignore[attr-defined] # noqa: PLC0415

        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def layer_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    """Divide all parameters into groups of layers for layer-wise learning rates.

    The groups are the submodules of the network, the stem first and the head last. The largest
    submodules are divided into their own submodules until there are at least five groups.
    Normalization layers and embeddings belong to the group of the preceding layer.

    Returns:
        Each parameter once, in the order of the layers. There are at least five groups if the
        network has enough submodules.
    """
    last = list(classifier_head(network).parameters())
    head_ids = {id(parameter) for parameter in last}
    parts = _direct_parts(network)
    while True:
        groups = _parameter_groups(parts, head_ids)
        divisible = [p for p in parts if isinstance(p, nn.Module) and any(p.children())]
        if len(groups) + 1 >= _MIN_LAYER_GROUPS or not divisible:
            return [*groups, last]
        # By the number of tensors, not by their size: the classifier of VGG has few, wide layers.
        largest = max(divisible, key=lambda part: len(list(part.parameters())))
        at = next(i for i, part in enumerate(parts) if part is largest)
        parts[at : at + 1] = _direct_parts(largest)


def _direct_parts(module: nn.Module) -> list[nn.Module | nn.Parameter]:
    return [*module.parameters(recurse=False), *module.children()]


def _parameter_groups(
    parts: list[nn.Module | nn.Parameter], excluded: set[int]
) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = []
    embeddings: list[nn.Parameter] = []  # class token and positions before the first layer
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
