"""The map is found if, and only if, the head averages it and is linear."""

import pytest
import torch

from skin_lesions.models.features import record_features
from skin_lesions.models.networks import build_network
from skin_lesions.models.pooled_maps import find_pooled_map


@pytest.mark.parametrize(
    ("architecture", "size", "name"),
    [
        ("resnet18", 64, "layer4"),
        ("mobilenet_v2", 64, "features"),
        ("densenet121", 64, "features"),  # a ReLU in place after the last layer
        ("swin_t", 64, "permute"),
        ("timm/convnext_atto", 64, None),  # a normalization layer after the average
        ("mobilenet_v3_small", 64, None),  # a hidden layer
        ("squeezenet1_0", 64, None),  # a convolution as head
        ("vit_b_32", 224, None),  # a class token
        ("resnet18", 32, None),  # a map of 1 x 1 position
    ],
)
@torch.no_grad()
def test_layer_with_the_averaged_map_is_found(architecture, size, name):
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = build_network(architecture, 3).eval()
    layer = find_pooled_map(network, size)
    assert (layer and layer.name) == name
    if layer is None:
        return
    maps = []
    network.get_submodule(layer.name).register_forward_hook(lambda *args: maps.append(args[2]))
    with record_features(network) as recorder:
        network(torch.randn(2, 3, size, size))
        features = recorder.pop()
    torch.testing.assert_close(layer.to_map(maps[0]).mean(dim=(2, 3)), features)
