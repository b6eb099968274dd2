import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.models.features import record_features
from skin_lesions.models.networks import build_network, classifier_head

# Architecture and image size: CNNs with one and several linear layers, a convolutional head, and
# transformers with class token, with two heads, and with channels-last maps.
ARCHITECTURES = [
    ("resnet18", 32),
    ("vgg11", 32),
    ("squeezenet1_0", 64),
    ("densenet121", 32),
    ("mobilenet_v3_small", 32),
    ("convnext_tiny", 32),
    ("swin_t", 64),
    ("vit_b_32", 224),
    ("timm/tf_efficientnet_lite0", 32),
    ("timm/vit_tiny_patch16_224", 224),
    ("timm/swin_tiny_patch4_window7_224", 224),
    ("timm/convnext_atto", 32),
]


def build(architecture):
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    network = build_network(architecture, 3).eval()
    with torch.no_grad():  # the heads of some architectures are zero
        for parameter in classifier_head(network).parameters():
            parameter.normal_(0, 0.1)
    return network


@pytest.mark.parametrize(("architecture", "size"), ARCHITECTURES)
@torch.no_grad()
def test_head_applied_to_the_features_gives_the_logits(architecture, size):
    network = build(architecture)
    with record_features(network) as recorder:
        logits = network(torch.randn(2, 3, size, size))
    features = recorder.pop()
    head = classifier_head(network)
    weight, bias = head.weight.flatten(1), head.bias  # a 1 x 1 convolution is linear, too
    assert features.shape == (2, weight.shape[1])
    if architecture != "squeezenet1_0":  # it applies a ReLU before it averages
        torch.testing.assert_close(features @ weight.T + bias, logits, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_features_of_a_convolutional_head_are_averaged_over_the_positions():
    network = build("squeezenet1_0")
    x = torch.randn(2, 3, 64, 64)
    with record_features(network) as recorder:
        network(x)
    torch.testing.assert_close(recorder.pop(), network.features(x).mean(dim=(2, 3)))


@torch.no_grad()
def test_features_of_two_heads_are_concatenated():
    pytest.importorskip("timm")
    network = build("timm/deit_tiny_distilled_patch16_224")
    with record_features(network) as recorder:
        logits = network(torch.randn(2, 3, 224, 224))
    of_class, of_distillation = recorder.pop().chunk(2, dim=1)
    mean = (network.head(of_class) + network.head_dist(of_distillation)) / 2
    torch.testing.assert_close(mean, logits)


def test_tokens_are_averaged():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    x = torch.randn(3, 5, 4)
    with record_features(network) as recorder:
        network(x)
    torch.testing.assert_close(recorder.pop(), network[0](x).mean(dim=1).detach())


def test_network_without_a_call_of_its_head_is_reported():
    with (
        record_features(nn.Sequential(nn.Linear(2, 2))) as recorder,
        pytest.raises(ValueError, match="has not called its classifier head"),
    ):
        recorder.pop()


def test_hooks_are_removed_after_the_block():
    network = build("resnet18")
    with record_features(network):
        pass
    assert not classifier_head(network)._forward_pre_hooks
    assert np.isfinite(network(torch.zeros(1, 3, 32, 32)).detach().numpy()).all()
