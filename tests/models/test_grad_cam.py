import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from skin_lesions.models.grad_cam import (
    MapUnavailableError,
    border_fractions,
    find_map_layer,
    grad_cam,
)
from skin_lesions.models.map_layers import MapLayer
from skin_lesions.models.networks import build_network, classifier_head

# Architecture, image size, layer, and height and width of its maps.
ARCHITECTURES = [
    ("resnet18", 224, "layer4", 7),
    ("vgg11", 224, "avgpool", 7),
    ("squeezenet1_0", 128, "classifier.0", 7),
    ("densenet121", 128, "features", 4),
    ("mobilenet_v3_small", 128, "features", 4),
    ("convnext_tiny", 128, "features", 4),
    ("swin_t", 128, "permute", 4),
    ("vit_b_32", 224, "encoder.layers.encoder_layer_11.ln_1", 7),
    ("timm/tf_efficientnet_lite0", 128, "bn2", 4),
    ("timm/vit_tiny_patch16_224", 224, "blocks.11.norm1", 14),
    ("timm/deit_tiny_distilled_patch16_224", 224, "blocks.11.norm1", 14),
    ("timm/swin_tiny_patch4_window7_224", 224, "norm", 7),
]


class TinyCNN(nn.Module):
    """Two convolutions, the mean over the positions and a linear head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu().mean(dim=(2, 3)))


def tiny(seed=0):
    torch.manual_seed(seed)
    return TinyCNN().eval()


def reference(network, image, number):
    """Compute the map of one image without hooks, channel by channel, in double precision."""
    network = copy.deepcopy(network).double()
    activation = network.second(network.first(image[None].double()).relu())
    activation.retain_grad()
    network.head(activation.relu().mean(dim=(2, 3)))[0, number].backward()
    total = torch.zeros(activation.shape[2:], dtype=torch.float64)
    for channel in range(activation.shape[1]):
        total += activation.grad[0, channel].mean() * activation[0, channel].detach()
    return total.clamp(min=0)


@pytest.mark.parametrize("seed", range(5))
def test_maps_of_a_batch_equal_an_independent_implementation_for_single_images(seed):
    network = tiny(seed)
    images, classes = torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2])
    layer = find_map_layer(network, 16)
    assert (layer.name, layer.layout, layer.side) == ("second", "channels_first", 8)
    maps = grad_cam(network, layer, images, classes)
    for image, number, found in zip(images, classes, maps, strict=True):
        expected = reference(network, image, number)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("number", "target"), [(0, 1), (1, 0), (2, 2)])
def test_maps_equal_those_of_captum(number, target):
    captum = pytest.importorskip("captum.attr")
    network, images = tiny(), torch.randn(2, 3, 16, 16)
    expected = captum.LayerGradCam(network, network.second).attribute(
        images, target, relu_attributions=True
    )
    found = grad_cam(network, find_map_layer(network, 16), images, torch.full((2,), target))
    torch.testing.assert_close(found, expected[:, 0].detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("architecture", "size", "name", "side"), ARCHITECTURES)
def test_layer_is_the_last_one_that_influences_the_head(architecture, size, name, side):
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = build_network(architecture, 3).eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        for parameter in classifier_head(network).parameters():
            parameter.normal_(0, 0.1)
    layer = find_map_layer(network, size)
    assert (layer.name, layer.side) == (name, side)
    maps = grad_cam(network, layer, torch.randn(2, 3, size, size), torch.tensor([0, 2]))
    assert maps.shape == (2, side, side)
    assert torch.isfinite(maps).all()
    assert (maps >= 0).all()


def test_coarse_maps_of_small_images_are_replaced_by_those_of_an_earlier_layer():
    network = build_network("resnet18", 3).eval()
    assert find_map_layer(network, 64).name == "layer3"  # 4 x 4; layer4 has 2 x 2
    assert find_map_layer(network, 64, min_side=8).name == "layer2"
    assert find_map_layer(network, 64, min_side=1000).side == 32  # the largest map


def test_network_without_maps_has_no_layer():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2)).eval()
    with pytest.raises(MapUnavailableError, match="no layer of Sequential has a map"):
        find_map_layer(network, 16)


def test_network_that_does_not_call_its_head_has_no_layer():
    class Unusual(TinyCNN):
        def forward(self, x):
            pooled = self.first(x).mean(dim=(2, 3))
            return pooled @ self.head.weight[:, :4].T

    with pytest.raises(MapUnavailableError, match="does not call its head"):
        find_map_layer(Unusual().eval(), 16)


def test_layer_whose_positions_do_not_reach_the_head_is_not_used():
    class FirstToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 6, 4, stride=4)
            self.mix = nn.Linear(17, 17)  # mixes the tokens
            self.last = nn.Linear(6, 6)  # of each token
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            patches = self.embed(x).flatten(2)  # (n, 6, 16)
            tokens = nn.functional.pad(patches, (1, 0))  # (n, 6, 17)
            return self.head(self.last(self.mix(tokens).transpose(1, 2))[:, 0])

    layer = find_map_layer(FirstToken().eval(), 16)
    assert (layer.name, layer.side) == ("embed", 4)


def test_tokens_become_positions_in_rows():
    layer = MapLayer(name="x", layout="tokens", side=2, prefix_tokens=1)
    tokens = torch.arange(5.0).view(1, 5, 1)
    assert layer.to_map(tokens).tolist() == [[[[1, 2], [3, 4]]]]


def test_channels_last_becomes_channels_first():
    layer = MapLayer(name="x", layout="channels_last", side=2)
    x = torch.randn(1, 3, 2, 2)
    torch.testing.assert_close(layer.to_map(x.permute(0, 2, 3, 1)), x)


def test_randomized_weights_change_the_maps():
    """Sanity check of Adebayo et al. (2018), arXiv:1810.03292."""
    images, classes = torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long)
    layer = find_map_layer(tiny(), 32)
    first, same, other = (
        grad_cam(network, layer, images, classes).flatten(1)
        for network in (tiny(1), tiny(1), tiny(2))
    )
    torch.testing.assert_close(first, same, rtol=0, atol=0)
    similarity = [spearmanr(a, b).statistic for a, b in zip(first, other, strict=True)]
    assert np.nanmean(similarity) < 0.7


def test_map_is_zero_if_no_position_raises_the_logit():
    network = tiny()
    with torch.no_grad():
        network.head.weight.copy_(-network.head.weight.abs())
        network.second.weight.abs_()
        network.second.bias.fill_(1.0)
    layer = find_map_layer(network, 16)
    maps = grad_cam(network, layer, torch.rand(2, 3, 16, 16), torch.tensor([0, 1]))
    assert not maps.any()
    assert border_fractions(maps, 0.1).isnan().all()


@given(side=st.integers(2, 60), border=st.floats(0.01, 0.45))
def test_border_fraction_of_a_constant_map_is_that_of_the_area(side, border):
    [fraction] = border_fractions(torch.ones(1, side, side), border)
    assert float(fraction) == pytest.approx(1 - (1 - 2 * border) ** 2)


@pytest.mark.parametrize("border", [0.05, 0.1, 0.25, 0.3])
def test_border_fraction_equals_a_sum_over_small_pixels(border):
    maps = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0))
    pixels = maps.repeat_interleave(200, 1).repeat_interleave(200, 2)  # (3, 1000, 1000)
    width = round(border * 1000)
    inside = pixels[:, width:-width, width:-width].sum(dim=(1, 2))
    expected = 1 - inside / pixels.sum(dim=(1, 2))
    torch.testing.assert_close(border_fractions(maps, border).float(), expected, atol=1e-4, rtol=0)


def test_border_fraction_of_a_map_in_the_center_is_0_and_in_a_corner_1():
    maps = torch.zeros(2, 10, 10)
    maps[0, 4:6, 4:6] = 3.0
    maps[1, 0, 0] = 0.1
    assert border_fractions(maps, 0.1).tolist() == pytest.approx([0.0, 1.0], abs=1e-9)
