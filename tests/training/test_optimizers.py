import pytest
import torch
from torch import nn

from skin_lesions.training.optimizers import build_optimizer, max_learning_rate, set_learning_rates
from support.recipes import recipe


@pytest.fixture
def groups():
    network = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)])
    return [list(layer.parameters()) for layer in network]


def build(groups, *, pretrained=True, **optimizer):
    return build_optimizer(groups, recipe(optimizer=optimizer).optimizer, pretrained=pretrained)


def learning_rate_of(optimizer, parameter):
    (rate,) = (g["lr"] for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return rate


def test_learning_rate_is_lower_in_early_layers_and_higher_in_the_head(groups):
    optimizer = build(groups, learning_rate=1e-3, head_lr_multiplier=3.0, layerwise_lr_decay=0.5)
    assert [learning_rate_of(optimizer, group[0]) for group in groups] == pytest.approx(
        [5e-4, 1e-3, 3e-3]
    )


def test_random_weights_have_the_same_learning_rate_in_all_layers(groups):
    optimizer = build(
        groups, pretrained=False, learning_rate=1e-3, head_lr_multiplier=3, layerwise_lr_decay=0.5
    )
    assert {learning_rate_of(optimizer, p) for group in groups for p in group} == {1e-3}


def test_biases_and_norms_have_no_weight_decay(groups):
    optimizer = build(groups, weight_decay=0.3)
    decays = {
        tuple(p.shape): group["weight_decay"]
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert decays == {(4, 3, 3, 3): 0.3, (2, 4): 0.3, (4,): 0.0, (2,): 0.0}


def test_each_parameter_is_in_one_group(groups):
    optimizer = build(groups)
    param_ids = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(param_ids) == sorted(id(p) for group in groups for p in group)


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)]
)
def test_optimizer_is_the_requested_one(groups, name, kind):
    assert type(build(groups, name=name)) is kind


def test_learning_rates_are_relative_to_the_base_rate_of_each_group(groups):
    optimizer = build(groups, learning_rate=1e-3, head_lr_multiplier=3.0)
    for _ in range(2):  # the factor does not apply to the previous rate
        set_learning_rates(optimizer, 0.1, 0.9)
    assert max_learning_rate(optimizer) == pytest.approx(3e-4)
    assert learning_rate_of(optimizer, groups[0][0]) == pytest.approx(1e-4)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}


def test_momentum_none_does_not_change_the_momentum(groups):
    optimizer = build(groups)
    set_learning_rates(optimizer, 0.1, None)
    assert {group["betas"][0] for group in optimizer.param_groups} == {0.9}
