import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.models.localization.feature_pyramid import FeaturePyramid, find_pyramid_layers
from skin_lesions.models.networks import build_network

# Architecture, image size, and the layers with the sides of their maps.
ARCHITECTURES = [
    ("resnet18", 64, {"layer2": 8, "layer3": 4, "layer4": 2}),
    ("resnet50", 64, {"layer2": 8, "layer3": 4, "layer4": 2}),
    ("mobilenet_v3_small", 64, {"features.3": 8, "features.8": 4, "features": 2}),
    ("timm/tf_efficientnet_lite0", 64, {"blocks.2": 8, "blocks.4": 4, "bn2": 2}),
    ("timm/vit_tiny_patch16_224", 224, {"norm": 14}),
    ("swin_t", 64, {"features.3": 8, "features.5": 4, "permute": 2}),
]


@pytest.mark.parametrize(("architecture", "size", "expected"), ARCHITECTURES)
def test_layers_are_the_last_complete_stages(architecture, size, expected):
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    network = build_network(architecture, 3).eval()
    layers = find_pyramid_layers(network, size)
    assert {layer.name: layer.side for layer in layers} == expected
    with torch.no_grad():
        maps = FeaturePyramid(network, layers)(torch.randn(2, 3, size, size))
    assert [m.shape[2:] for m in maps] == [(side, side) for side in expected.values()]
    assert all(m.shape[0] == 2 for m in maps)


def test_maps_are_the_outputs_of_the_layers_and_no_hook_remains():
    network = build_network("resnet18", 3).eval()
    pyramid = FeaturePyramid(network, find_pyramid_layers(network, 64))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = pyramid(images)
        stem = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        expected = network.layer2(network.layer1(stem))
    torch.testing.assert_close(maps[0], expected)
    assert not any(module._forward_hooks for module in network.modules())


def test_network_without_maps_is_rejected():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)).eval()
    with pytest.raises(InputError, match="no feature maps at strides 8 to 32"):
        find_pyramid_layers(network, 16)
