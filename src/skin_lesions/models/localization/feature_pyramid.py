"""Feature pyramid: the last feature maps of a network at strides 8, 16 and 32.

The maps are outputs of layers of the classifier, recorded with forward hooks. This is possible for
CNNs and transformers of torchvision and timm without a change of their code.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.models.grad_cam import map_layer
from skin_lesions.models.map_layers import MapLayer

STRIDES = (8, 16, 32)  # image size divided by the side of the map, approximately
_TOLERANCE = 2**0.5  # strides within this factor belong to one level: no gap, no overlap


@torch.no_grad()
def find_pyramid_layers(network: nn.Module, image_size: int) -> tuple[MapLayer, ...]:
    """Find the layer with the last feature map of each level, the finest level first.

    The network runs on one empty image. Among the maps of a level, those of the layers with the
    fewest parents are taken (``layer3`` before ``layer4.0.conv1``), because they are the results
    of complete stages. Of these, the last one is taken.

    Args:
        network: Network in evaluation mode.
        image_size: Width and height of its images, pixels.

    Returns:
        One to three layers; vision transformers have one.

    Raises:
        InputError: No layer has a square map of at least 2 x 2 positions at these strides.
    """
    shapes: dict[str, torch.Size] = {}

    def record(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim in (3, 4):
            shapes.pop(name, None)  # a layer that is called twice moves to the end
            shapes[name] = output.shape

    hooks = [
        module.register_forward_hook(partial(record, name))
        for name, module in network.named_modules()
        if name
    ]
    device = next(network.parameters()).device
    try:
        network(torch.zeros(1, 3, image_size, image_size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    maps = [map_layer(network, name, shape) for name, shape in shapes.items()]
    found = []
    for stride in STRIDES:
        side = image_size / stride
        level = [m for m in maps if m and side / _TOLERANCE <= m.side < side * _TOLERANCE]
        if level:
            fewest = min(layer.name.count(".") for layer in level)
            found.append([layer for layer in level if layer.name.count(".") == fewest][-1])
    if not found:
        raise InputError(
            f"{type(network).__name__} has no feature maps at strides 8 to 32 for images of "
            f"{image_size} pixels. Expected maps of at least 2 x 2 positions. Fix: set a larger "
            "image size, or the method mean_box"
        )
    return tuple(found)


class FeaturePyramid(nn.Module):
    """A network that returns feature maps instead of its logits.

    Each call adds its own hooks and removes them, so that the network itself does not change.
    """

    def __init__(self, network: nn.Module, layers: Sequence[MapLayer]) -> None:
        super().__init__()
        self.network, self._layers = network, tuple(layers)

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps (n, c, h, w) of normalized images (n, 3, height, width)."""
        outputs: dict[str, torch.Tensor] = {}

        def record(name: str, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            outputs[name] = output  # of a layer that is called twice, the last output

        hooks = [
            self.network.get_submodule(layer.name).register_forward_hook(
                partial(record, layer.name)
            )
            for layer in self._layers
        ]
        try:
            self.network(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return [layer.to_map(outputs[layer.name]) for layer in self._layers]
