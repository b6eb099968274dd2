from urllib.error import URLError

import pytest
import torch
import torchvision

from skin_lesions.devices import choose_device
from skin_lesions.errors import InputError
from skin_lesions.networks import build_network, starting_network


def test_the_head_has_one_output_per_class():
    network = build_network("resnet18", 5).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_random_weights_come_from_the_seed_alone():
    first, second, other = (starting_network("resnet18", "none", 3, seed) for seed in (1, 1, 2))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_imagenet_weights_are_loaded_into_all_but_the_head(monkeypatch):
    state = {
        k: torch.full_like(v, 2) for k, v in torchvision.models.resnet18().state_dict().items()
    }
    weights = torchvision.models.ResNet18_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda *_, **__: state)
    network = starting_network("resnet18", "imagenet", 3, seed=0)
    loaded = network.state_dict()
    assert all(
        torch.equal(loaded[name], state[name]) for name in state if not name.startswith("fc.")
    )
    assert loaded["fc.weight"].shape == (3, 512)


def test_without_a_network_the_error_says_what_to_download_and_where_to_put_it(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(InputError, match=r"resnet18-.*\.pth.*checkpoints.*train\.weights=none"):
        starting_network("resnet18", "imagenet", 3, seed=0)


def test_weights_of_another_architecture_are_refused(monkeypatch):
    state = torchvision.models.squeezenet1_1().state_dict()
    monkeypatch.setattr(
        torchvision.models.ResNet18_Weights, "get_state_dict", lambda *_, **__: state
    )
    with pytest.raises(InputError, match="another architecture"):
        starting_network("resnet18", "imagenet", 3, seed=0)


@pytest.mark.parametrize(
    ("architecture", "weights"), [("resnet17", "none"), ("resnet18", "imaginary")]
)
def test_unknown_names_are_refused_with_those_that_are_known(architecture, weights):
    with pytest.raises(InputError, match="is not known"):
        starting_network(architecture, weights, 2, seed=0)


def test_a_device_that_is_absent_is_an_error_not_a_fallback(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"train\.device=cuda.*only:.*cpu"):
        choose_device("cuda")


def test_auto_takes_the_best_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
