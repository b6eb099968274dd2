"""Last feature map of networks whose head is global average pooling and one linear layer.

The logit of a class is then the mean over the positions of the map of w · map, plus the bias. The
product w · map at each position is the class activation map. It equals Grad-CAM at this layer, but
needs no gradient.

Source:
    Zhou et al. (2016), doi:10.1109/CVPR.2016.319.
"""

from functools import partial

import torch
from torch import nn

from skin_lesions.models.features import record_features
from skin_lesions.models.grad_cam import map_layer
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.networks import classifier_head

_SEED = 0  # of the random image
_TOLERANCE = 1e-4  # difference of means and features, relative to the largest feature


@torch.no_grad()
def find_pooled_map(network: nn.Module, image_size: int) -> MapLayer | None:
    """Return the last layer whose mean over all positions is the input of the linear head.

    Args:
        network: Network in evaluation mode.
        image_size: Width and height of its images, pixels.

    Returns:
        The layer; None if the head is not linear, or gets no means of a map of 2 x 2 or more
        positions. Examples are hidden layers of the head and class tokens.
    """
    if not isinstance(classifier_head(network), nn.Linear):
        return None
    outputs: dict[str, torch.Tensor] = {}

    def record(name: str, _module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim in (3, 4):
            outputs.pop(name, None)  # a layer that is called twice moves to the end
            outputs[name] = output

    hooks = [
        module.register_forward_hook(partial(record, name))
        for name, module in network.named_modules()
        if name
    ]
    generator = torch.Generator().manual_seed(_SEED)
    try:
        with record_features(network) as recorder:
            network(torch.randn(1, 3, image_size, image_size, generator=generator))
            features = recorder.pop()  # (1, features)
    finally:
        for hook in hooks:
            hook.remove()
    for name, output in reversed(outputs.items()):
        layer = map_layer(network, name, output.shape)
        if layer is not None and _is_mean(features, layer.to_map(output)):
            return layer
    return None


def _is_mean(features: torch.Tensor, of: torch.Tensor) -> bool:
    """Return whether features (n, c) are the means over the positions of a map (n, c, h, w)."""
    largest = float(features.abs().max())
    if features.shape != of.shape[:2] or largest == 0:
        return False
    means = of.float().mean(dim=(2, 3))
    return float((means - features).abs().max()) <= _TOLERANCE * largest
