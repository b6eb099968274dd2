import logging
import math

import pytest
import torch

from skin_lesions.modelling import calibrated, fit_model, predict
from skin_lesions.parameters import TrainRecipe
from skin_lesions.training import learning_rate_factor

RECIPE = TrainRecipe(
    architecture="resnet18",
    weights="none",
    weights_sha256=None,
    epochs=2,
    batch_size=8,
    image_size=32,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=0.01,
    schedule="cosine",
    warmup_share=0.1,
    augmentation="flips_and_turns",
    select_by="balanced_accuracy",
    memory_format="channels_last",
    mixed_precision=True,
    device="cpu",
    seed=3,
)


def recipe(**changes):
    return RECIPE.model_copy(update=changes)


def fitted(stored, **changes):
    return fit_model(*stored, recipe(**changes), "squash", 32)


def test_it_learns_what_can_be_learned(stored):
    model, history = fitted(stored, epochs=4)
    assert history["train_loss"].min() < 0.5 * history["train_loss"].iloc[0]
    whole = calibrated(model, *stored)
    test = predict(whole, *stored, batch_size=16, device="cpu").query("split == 'test'")
    assert (test["predicted"] == test["label"]).mean() >= 0.9


def test_same_seed_same_weights_other_seed_other_weights(stored):
    first, second, other = (fitted(stored, seed=seed)[0]["state_dict"] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_global_generator_is_left_as_it_was(stored):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fitted(stored, epochs=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("by", ["balanced_accuracy", "accuracy"])
def test_the_epoch_that_is_best_on_validation_is_kept(stored, by):
    model, history = fitted(stored, epochs=3, select_by=by, learning_rate=1e-2)
    assert history["best"].sum() == 1
    best = history[history["best"]].iloc[0]
    assert best[f"val_{by}"] == history[f"val_{by}"].max()
    assert model["selection"] == {
        "best_epoch": best["epoch"],
        "by": by,
        "value": best[f"val_{by}"],
    }
    # The weights are those of that epoch: scoring them on val gives its value again.
    val = predict(calibrated(model, *stored), *stored, 16, "cpu").query("split == 'val'")
    right = (val["predicted"] == val["label"]).groupby(val["label"]).mean()
    assert right.mean() == pytest.approx(history["val_balanced_accuracy"][best.name])


def test_what_lies_in_the_test_split_changes_nothing(stored, tmp_path):
    store, table = stored
    other = table.assign(label=table["label"].where(table["split"] != "test", "green"))
    other.attrs = table.attrs
    first, second = fitted((store, table))[0], fitted((store, other))[0]
    assert all(torch.equal(first["state_dict"][n], t) for n, t in second["state_dict"].items())
    assert (
        calibrated(first, store, table)["calibration"]
        == (calibrated(second, store, other)["calibration"])
    )


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_remedy(stored):
    with pytest.raises(FloatingPointError, match=r"train\.learning_rate"):
        fitted(stored, learning_rate=1e30)


def test_the_notebooks_recipe_runs(stored):
    _, history = fitted(
        stored,
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        warmup_share=0.0,
        augmentation="none",
        select_by="accuracy",
        memory_format="contiguous",
    )
    assert history["learning_rate"].tolist() == [1e-3, 1e-3]


def test_the_learning_rate_warms_up_then_falls_to_zero():
    factors = [learning_rate_factor(step, 100, recipe(warmup_share=0.1)) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors == [*sorted(factors[:10]), *sorted(factors[10:], reverse=True)]
    assert 0 < factors[-1] < 0.001


def test_the_log_names_the_device_each_epoch_and_the_time_left(stored, caplog):
    caplog.set_level(logging.INFO)
    fitted(stored, batch_size=2, epochs=2)
    told = [record.getMessage() for record in caplog.records]
    assert any("on cpu (" in line and "36 images" in line for line in told)
    assert any("training takes about" in line for line in told)
    assert sum(line.startswith("epoch ") for line in told) == 2


def test_the_history_has_finite_numbers_for_every_epoch(stored):
    _, history = fitted(stored)
    assert history["epoch"].tolist() == [1, 2]
    assert all(math.isfinite(value) for value in history.drop(columns="best").to_numpy().ravel())


def test_predictions_are_calibrated_probabilities_of_val_and_test(stored):
    model = calibrated(fitted(stored)[0], *stored)
    predictions = predict(model, *stored, batch_size=7, device="cpu")
    assert set(predictions["split"]) == {"val", "test"}
    shares = predictions[["p_green", "p_red"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (shares.idxmax(axis=1).str.removeprefix("p_") == predictions["predicted"]).all()
    softer = {**model, "calibration": {"temperature": model["calibration"]["temperature"] * 10}}
    assert predict(softer, *stored, 7, "cpu")[["p_green", "p_red"]].max().max() < shares.max().max()
