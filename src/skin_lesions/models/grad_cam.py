"""Grad-CAM: maps of the image regions that raise the logit of a class, for any architecture.

The map of a class is ReLU(Σ_k weight_k · activation_k) over the channels k of one layer. The weight
of a channel is the mean gradient of the logit of the class with respect to the channel.

Source:
    Selvaraju et al. (2017), doi:10.1109/ICCV.2017.74.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.networks import classifier_head

# Smallest side of a map, in positions. A coarser map cannot separate the border from the center.
# With small images, the last layers of many networks have 2 x 2 positions.
MIN_SIDE = 4
_MAX_PREFIX_TOKENS = 8  # class, distillation and register tokens before the tokens of the patches
_SEED = 0  # of the random image that selects the layer


class MapUnavailableError(Exception):
    """A network has no layer with a map that influences its logits. The message is the reason."""


def find_map_layer(network: nn.Module, image_size: int, min_side: int = MIN_SIDE) -> MapLayer:
    """Find the last layer before the head with a map that influences the logits.

    The network runs on one random image. Among the outputs of its layers, the last one is taken
    that has at least ``min_side`` positions on a side, and a gradient at more than one position. In
    the last block of a vision transformer, only the class token has a gradient after the attention.
    The layer is then the normalization before this attention. If no map is as large, the last one
    of the largest maps is taken.

    Args:
        network: Network in evaluation mode.
        image_size: Width and height of its images, pixels.
        min_side: Wanted number of positions on a side of the map.

    Raises:
        MapUnavailableError: No layer with a map of at least 2 x 2 positions influences the head.
    """
    run = _run_to_head(network, image_size)
    names, outputs = list(run.outputs), list(run.outputs.values())
    gradients = torch.autograd.grad(run.features, outputs, allow_unused=True) if outputs else ()
    influential: list[MapLayer] = []
    for name, gradient in zip(names, gradients, strict=True):
        layer = None if gradient is None else map_layer(network, name, gradient.shape)
        if layer is not None and _positions_with_gradient(layer, gradient) > 1:
            influential.append(layer)
    if not influential:
        raise MapUnavailableError(
            f"no layer of {type(network).__name__} has a map of features that influences its head"
        )
    enough = min(min_side, max(layer.side for layer in influential))
    return [layer for layer in influential if layer.side >= enough][-1]


def grad_cam(
    network: nn.Module, layer: MapLayer, inputs: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Return the Grad-CAM map of one class for each image.

    Args:
        network: Network in evaluation mode: the images of a batch must not influence each other.
        layer: Layer of the maps, from ``find_map_layer``.
        inputs: Normalized images, (n, 3, height, width).
        classes: Class number of each map, (n,).

    Returns:
        (n, h, w) float32, values of at least 0 at the positions of the layer, not normalized. A map
        is zero everywhere if no position raises the logit of the class.
    """
    recorded: list[torch.Tensor] = []
    module = network.get_submodule(layer.name)
    hook = module.register_forward_hook(lambda _module, _inputs, output: recorded.append(output))
    try:
        with torch.enable_grad():
            # The gradient exists even if all parameters are frozen.
            logits = network(inputs.detach().requires_grad_())
    finally:
        hook.remove()
    # In evaluation mode, the logit of an image depends only on this image. The gradient of the sum
    # is therefore that of each image.
    total = logits.gather(1, classes[:, None]).sum()
    [gradient] = torch.autograd.grad(total, recorded[-1:])
    activations = layer.to_map(recorded[-1]).detach().float()  # (n, c, h, w)
    weights = layer.to_map(gradient).float().mean(dim=(2, 3), keepdim=True)  # (n, c, 1, 1)
    return (weights * activations).sum(dim=1).relu()


def border_fractions(maps: torch.Tensor, border: float) -> torch.Tensor:
    """Return the fraction of the sum of each map that is on the border of the image.

    A position of a map counts as a rectangle of the image with a constant value, so that a constant
    map has exactly the fraction of the area of the border, 1 - (1 - 2 * border)².

    Args:
        maps: (n, h, w), values of at least 0.
        border: Width of the border on each side, as a fraction of the side of the image.

    Returns:
        (n,) values from 0 to 1; NaN for maps that are zero everywhere.
    """
    inside_rows = _inside_fractions(maps.shape[1], border).to(maps.device)
    inside_columns = _inside_fractions(maps.shape[2], border).to(maps.device)
    inside = torch.einsum("nhw,h,w->n", maps.double(), inside_rows, inside_columns)
    return 1 - inside / maps.double().sum(dim=(1, 2))


def _inside_fractions(positions: int, border: float) -> torch.Tensor:
    """Return the fraction of each of these equal intervals of 0..1 that is within the borders."""
    edges = torch.linspace(0, 1, positions + 1, dtype=torch.float64).clamp(border, 1 - border)
    return edges.diff() * positions


@dataclass(frozen=True)
class _Run:
    """One call of a network.

    Attributes:
        outputs: Output of each layer before the head by the name of the layer, in the order of
            execution.
        features: Sum of the inputs of the head with random weights, a scalar. It does not depend on
            the weights of the head, which can be zero before training.
    """

    outputs: dict[str, torch.Tensor]
    features: torch.Tensor


def _run_to_head(network: nn.Module, image_size: int) -> _Run:
    """Call the network with one random image."""
    generator = torch.Generator().manual_seed(_SEED)
    device = next(network.parameters()).device
    image = torch.randn(1, 3, image_size, image_size, generator=generator).to(device)
    outputs: dict[str, torch.Tensor] = {}
    features: list[torch.Tensor] = []

    def record_output(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim in (3, 4) and not features:
            outputs.pop(name, None)  # a layer that is called twice moves to the end
            outputs[name] = output

    def record_features(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        weights = torch.randn(inputs[0].shape, generator=generator).to(device)
        features.append((inputs[0] * weights).sum())

    head = classifier_head(network)
    heads = list(head) if isinstance(head, nn.ModuleList) else [head]
    hooks = [layer.register_forward_pre_hook(record_features) for layer in heads]
    # Inside an attention, 4-D tensors are (n, heads, tokens, features), which are no maps.
    hooks += [
        module.register_forward_hook(partial(record_output, name))
        for name, module in network.named_modules()
        if name and not any("att" in part for part in name.lower().split("."))
    ]
    try:
        with torch.enable_grad():
            # The gradient exists even if all parameters are frozen.
            network(image.requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    if not features:
        raise MapUnavailableError(f"{type(network).__name__} does not call its head as a layer")
    return _Run(outputs, torch.stack(features).sum())


def map_layer(network: nn.Module, name: str, shape: Sequence[int]) -> MapLayer | None:
    """Return the layer with the layout of its output, or None if the output is not a square map."""
    if len(shape) == 4:
        is_last = shape[1] == shape[2] != shape[3]
        side = shape[1] if is_last else shape[2]
        if side < 2 or not (is_last or shape[2] == shape[3]):
            return None
        return MapLayer(
            name=name, layout="channels_last" if is_last else "channels_first", side=side
        )
    prefix = getattr(network, "num_prefix_tokens", None)  # timm
    side = math.isqrt(shape[1] - prefix if isinstance(prefix, int) else shape[1])
    prefix = shape[1] - side**2
    if side < 2 or prefix > _MAX_PREFIX_TOKENS:
        return None
    return MapLayer(name=name, layout="tokens", side=side, prefix_tokens=prefix)


def _positions_with_gradient(layer: MapLayer, gradient: torch.Tensor) -> int:
    return int(layer.to_map(gradient).abs().sum(dim=1).count_nonzero())
