"""Class activation maps as maps of the lesion: no training, only a threshold is fitted."""

import torch
from torch import nn

from skin_lesions.models.grad_cam import grad_cam
from skin_lesions.models.map_layers import MapLayer


def lesion_activation_maps(
    network: nn.Module, layer: MapLayer, inputs: torch.Tensor
) -> torch.Tensor:
    """Return the Grad-CAM map of the predicted class, divided by its maximum, (n, h, w).

    Args:
        network: Network in evaluation mode.
        layer: Layer of the maps, from ``grad_cam.find_map_layer``.
        inputs: Normalized images, (n, 3, height, width).

    Returns:
        Values from 0 to 1. They are no probabilities. A map is zero everywhere if no position
        raises the logit of the class.
    """
    with torch.no_grad():
        predicted = network(inputs).argmax(dim=1)
    maps = grad_cam(network, layer, inputs, predicted)
    maximum = maps.amax(dim=(1, 2), keepdim=True)
    return maps / maximum.clamp(min=torch.finfo(maps.dtype).tiny)
