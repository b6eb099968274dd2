import pytest
import torch

from skin_lesions.training.schedules import (
    ema_decay_at,
    image_size_at,
    image_sizes,
    learning_rate_factor,
    momentum,
)
from support.recipes import recipe


def factors(name, warmup=0.1, steps=100):
    schedule = recipe(schedule={"name": name, "warmup_fraction": warmup}).schedule
    return [learning_rate_factor(step, steps, schedule) for step in range(steps)]


def test_cosine_warms_up_then_falls_to_zero():
    values = factors("cosine")
    assert values[0] == pytest.approx(1 / 11)
    assert values[10] == 1.0
    assert values[55] == pytest.approx(0.5)
    assert values == [*sorted(values[:10]), *sorted(values[10:], reverse=True)]
    assert 0 < values[-1] < 0.001


def test_constant_does_not_change_after_warm_up():
    assert factors("constant", warmup=0.0) == [1.0] * 100
    assert factors("constant")[10:] == [1.0] * 90


def test_one_cycle_agrees_with_torch():
    """The fall of torch ends at the last step, ours would end one step later."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter])
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=1001, pct_start=0.3
    )
    schedule = recipe(schedule={"name": "one_cycle", "warmup_fraction": 0.3}).schedule
    for step in range(0, 1000):
        group = optimizer.param_groups[0]
        assert learning_rate_factor(step, 1000, schedule) == pytest.approx(group["lr"], abs=3e-3)
        assert momentum(step, 1000, schedule) == pytest.approx(group["betas"][0], abs=1e-3)
        optimizer.step()
        scheduler.step()


def test_only_one_cycle_changes_the_momentum():
    assert momentum(5, 100, recipe(schedule={"name": "cosine"}).schedule) is None


def test_progressive_resizing_ends_after_two_thirds_of_the_epochs():
    resizing = recipe(epochs=9, image_size=224, progressive_resizing_start=0.57)
    sizes = [image_size_at(epoch, resizing) for epoch in range(1, 10)]
    assert sizes[0] == 128
    assert sizes == sorted(sizes)
    assert sizes[6:] == [224] * 3
    assert sizes[5] < 224
    assert all(size % 16 == 0 for size in sizes)


def test_without_progressive_resizing_all_epochs_have_the_requested_size():
    assert {image_size_at(epoch, recipe(image_size=100)) for epoch in (1, 2)} == {100}


def test_sizes_never_exceed_the_requested_size():
    resizing = recipe(epochs=4, image_size=100, progressive_resizing_start=0.5)
    assert [image_size_at(epoch, resizing) for epoch in range(1, 5)] == [48, 80, 96, 100]


def test_image_sizes_are_those_of_all_epochs_and_of_the_evaluation():
    resizing = recipe(epochs=4, image_size=100, progressive_resizing_start=0.5, eval_size_ratio=1.2)
    assert image_sizes(resizing) == [48, 80, 96, 100, 128]
    assert image_sizes(recipe(image_size=100, eval_size_ratio=1.0)) == [100]


def test_ema_has_a_short_memory_at_first():
    decays = [ema_decay_at(step, 0.98) for step in range(1000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.98
