import copy
import logging
import math
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset, shuffled_batches
from skin_lesions.data.preprocessing import Preprocessing, normalize_batch
from skin_lesions.evaluation.predictions import predict
from skin_lesions.models.model_file import load_network
from skin_lesions.models.networks import create_network
from skin_lesions.models.precision import choose_precision
from skin_lesions.pipelines.train.nodes import calibrate
from skin_lesions.training import fit, identity, loop, monitor, step
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.fit import fit_model
from skin_lesions.training.optimizers import max_learning_rate
from support.recipes import EVERY_CHANGE, EVERYTHING, UNCHANGED, recipe

PLACES = {
    "optimizer_step": step,
    "gradients": step,
    "validate": loop,
    "predict_logits": loop,
}  # functions of the loop


class SmallResNet(nn.Module):
    """Has the parts of a ResNet, and little of each: what is tested here is the loop."""

    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        layers = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())] * 4
        self.layer1, self.layer2, self.layer3, self.layer4 = map(copy.deepcopy, layers)
        self.fc = nn.Linear(8, classes)

    def forward(self, images):
        layers = nn.Sequential(self.layer1, self.layer2, self.layer3, self.layer4)
        return self.fc(layers(self.bn1(self.conv1(images))).mean(dim=(2, 3)))


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(
        "torchvision.models.get_model",
        lambda name, weights, num_classes: SmallResNet(num_classes),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more would only wait for each other
    yield
    torch.set_num_threads(threads)


def fitted(stored, **changes):
    """Train to the end; as after saving the model, no checkpoint stays."""
    checkpoints = Checkpoints(stored[0].folder / "checkpoints")
    model, history = fit_model(*stored, checkpoints, recipe(**changes), "stretch", 32)
    checkpoints.discard(model["provenance"]["training"])
    return model, history


def same_weights(first, second):
    first, second = first["state_dict"], second["state_dict"]
    return all(torch.equal(first[name], value) for name, value in second.items())


def test_it_learns_what_can_be_learned(stored):
    model, history = fitted(stored, epochs=6, optimizer={"learning_rate": 3e-2})
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]
    whole = calibrate(model, *stored)
    test = predict(whole, *stored, batch_size=16, device="cpu").query("split == 'test'")
    assert (test["predicted"] == test["label"]).mean() >= 0.9


def test_same_seed_same_weights_other_seed_other_weights(stored):
    first, second, other = (fitted(stored, seed=seed)[0] for seed in (1, 1, 2))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_the_global_generator_is_left_as_it_was(stored):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fitted(stored, epochs=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("by", ["balanced_accuracy", "accuracy"])
def test_the_epoch_that_is_best_on_validation_is_kept(stored, by):
    model, history = fitted(
        stored, epochs=3, selection_metric=by, optimizer={"learning_rate": 1e-2}
    )
    assert history["best"].sum() == 1
    best = history[history["best"]].iloc[0]
    assert best[f"val_{by}"] == history[f"val_{by}"].max()
    assert model["selection"] == {
        "best_epoch": best["epoch"],
        "by": by,
        "value": best[f"val_{by}"],
    }
    # The weights are those of that epoch: scoring them on val gives its value again.
    val = predict(calibrate(model, *stored), *stored, 16, "cpu").query("split == 'val'")
    right = (val["predicted"] == val["label"]).groupby(val["label"]).mean()
    assert right.mean() == pytest.approx(history["val_balanced_accuracy"][best.name])


def test_what_lies_in_the_test_split_changes_nothing(stored, tmp_path):
    store, table = stored
    other = table.assign(label=table["label"].where(table["split"] != "test", "green"))
    other.attrs = table.attrs
    first, second = fitted((store, table))[0], fitted((store, other))[0]
    assert same_weights(first, second)
    assert (
        calibrate(first, store, table)["calibration"]
        == (calibrate(second, store, other)["calibration"])
    )


def test_a_loss_that_is_not_finite_names_epoch_step_rate_and_remedy(stored):
    with pytest.raises(InputError) as stopped:
        fitted(stored, optimizer={"learning_rate": 1e30}, schedule={"name": "constant"})
    told = str(stopped.value)
    assert "in epoch 1, step 2, at a learning rate of 1e+30" in told
    assert "--params train.optimizer.learning_rate=3e+29" in told


def test_weights_that_the_very_last_step_spoilt_are_no_result(stored):
    """One step in all: its own loss is finite, and no other step sees what it did."""
    with pytest.raises(InputError, match=r"the validation loss is nan in epoch 1, step 1, at"):
        fitted(
            stored,
            epochs=1,
            batch_size=36,
            optimizer={"learning_rate": 1e38},
            schedule={"name": "constant", "warmup_fraction": 0.0},
        )


def test_a_spoilt_state_is_never_kept(stored):
    """Each step is kept here; the one whose loss is not finite must not be."""
    with pytest.raises(InputError, match="the loss is"):
        fitted(stored, optimizer={"learning_rate": 1e30}, checkpoint_interval_minutes=1e-9)
    (path,) = (stored[0].folder / "checkpoints").rglob("checkpoint.pt")
    assert torch.load(path, weights_only=True)["step"] == 1


NOTEBOOK = {
    "optimizer": {"name": "adam", "weight_decay": 0.0, "learning_rate": 1e-3},
    "schedule": {"name": "constant", "warmup_fraction": 0.0},
    "augmentation": UNCHANGED,
    "selection_metric": "accuracy",
    "memory_format": "contiguous",
    "precision": "float32",
}


def test_the_notebooks_recipe_is_plain_adam_on_plain_images(stored):
    """Written out as in the notebook, step by step, it gives the same weights."""
    model, history = fitted(stored, epochs=1, **NOTEBOOK)
    assert history["learning_rate"].tolist() == [1e-3]
    train = stored[1].query("split == 'train'").sort_values("file")
    classes = sorted(set(train["label"]))
    images = build_dataset(train, classes, stored[0].at(32), Preprocessing("stretch", 32, 32))
    network = create_network("resnet18", "none", None, classes, 32, 3).network
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    total = 0.0
    for chosen in shuffled_batches(len(images), 8, 3, 1):
        batch, labels = images.batch(chosen)
        loss = cross_entropy(network(normalize_batch(batch, images.preprocessing)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(chosen)
    assert history["train_loss"].tolist() == [pytest.approx(total / len(images), rel=1e-3)]
    batch, _ = images.batch(np.arange(8))
    inputs = normalize_batch(batch, images.preprocessing)
    with torch.inference_mode():
        expected, ours = network.eval()(inputs), load_network(model).eval()(inputs)
    torch.testing.assert_close(ours, expected, rtol=0.02, atol=0.02)


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
    model = calibrate(fitted(stored)[0], *stored)
    predictions = predict(model, *stored, batch_size=7, device="cpu")
    assert set(predictions["split"]) == {"val", "test"}
    shares = predictions[["p_green", "p_red"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (shares.idxmax(axis=1).str.removeprefix("p_") == predictions["predicted"]).all()
    softer = {**model, "calibration": {"temperature": model["calibration"]["temperature"] * 10}}
    assert predict(softer, *stored, 7, "cpu")[["p_green", "p_red"]].max().max() < shares.max().max()


# The parts of the recipe

CHANGING = EVERY_CHANGE | {"flips": False}  # which the small recipe has on
OPTIMIZING = {
    "name": "adam",
    "learning_rate": 2e-3,
    "head_lr_multiplier": 3.0,
    "layerwise_lr_decay": 0.5,
    "weight_decay": 0.5,
    "max_grad_norm": 0.01,
}


def trace(monkeypatch, name, note):
    """Note something at each call of a function of the loop."""
    real, notes = getattr(PLACES[name], name), []

    def tracing(*args):
        result = real(*args)
        notes.append(note(*args))
        return result

    monkeypatch.setattr(PLACES[name], name, tracing)
    return notes


def as_if_pretrained(monkeypatch):
    """Take random weights for those that a recipe names."""
    real = fit.create_network
    monkeypatch.setattr(fit, "create_network", lambda name, _, *others: real(name, "none", *others))


def test_the_head_learns_alone_first_and_the_batch_statistics_wait(stored, monkeypatch):
    as_if_pretrained(monkeypatch)

    def weights(run, *_):
        state = run.network.state_dict()
        body = torch.cat([v.flatten() for n, v in state.items() if not n.startswith("fc")])
        return body, state["fc.weight"].clone()

    notes = trace(monkeypatch, "optimizer_step", weights)
    fitted(stored, weights="imagenet", frozen_backbone_epochs=1, epochs=2)
    bodies, heads = zip(*notes, strict=True)
    assert all(torch.equal(body, bodies[0]) for body in bodies[:5])
    assert not torch.equal(heads[0], heads[4])
    assert not torch.equal(bodies[4], bodies[5])


def test_with_random_weights_all_layers_learn_from_the_start(stored, monkeypatch):
    notes = trace(monkeypatch, "optimizer_step", lambda run, *_: run.network.conv1.weight.clone())
    fitted(stored, frozen_backbone_epochs=1)
    assert not torch.equal(notes[0], notes[1])


def test_the_schedule_begins_once_all_layers_learn(stored, monkeypatch):
    as_if_pretrained(monkeypatch)
    notes = trace(monkeypatch, "optimizer_step", lambda run, *_: max_learning_rate(run.optimizer))
    schedule = {"name": "cosine", "warmup_fraction": 0.0}
    fitted(stored, weights="imagenet", frozen_backbone_epochs=1, epochs=3, schedule=schedule)
    assert notes[:6] == [1e-3] * 6
    assert notes[6:] == sorted(notes[6:], reverse=True)
    assert notes[-1] < 1e-4


def test_rates_are_set_before_the_step_that_they_are_for(stored):
    """The first step of a warm-up of many steps is a small one."""
    first = fitted(stored, epochs=1, batch_size=36, schedule={"warmup_fraction": 0.9})[0]
    before = create_network("resnet18", "none", None, ["green", "red"], 32, 3)
    moved = (first["state_dict"]["conv1.weight"] - before.network.conv1.weight).abs().max()
    assert 0 < moved < 0.8e-3  # Adam's first step has the length of the rate


def test_parts_of_a_batch_give_the_gradients_of_the_whole(stored, monkeypatch):
    """Without batch statistics, which see only their part."""
    monkeypatch.setattr(nn, "BatchNorm2d", nn.Identity)
    losses = [fitted(stored, gradient_accumulation_steps=parts)[1] for parts in (1, 3)]
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(losses[0][column], losses[1][column], rtol=1e-4)


def _gradient_length(run):
    return torch.stack([p.grad.norm() for p in run.network.parameters()]).norm().item()


def test_gradients_are_no_longer_than_asked_for(stored, monkeypatch):
    with monkeypatch.context() as patch:
        free = trace(patch, "optimizer_step", lambda run, *_: _gradient_length(run))
        fitted(stored, epochs=1)
    assert max(free) > 0.1
    clipped = trace(monkeypatch, "optimizer_step", lambda run, *_: _gradient_length(run))
    fitted(stored, epochs=1, optimizer={"max_grad_norm": 0.05})
    assert max(clipped) <= 0.0501


def test_the_averaged_weights_are_judged_and_kept(stored, monkeypatch):
    def averaged(run):
        return {name: value.clone() for name, value in run.ema.network.state_dict().items()}

    averages = trace(monkeypatch, "validate", averaged)
    last = trace(monkeypatch, "validate", lambda run: run.network.conv1.weight.clone())
    judged = trace(monkeypatch, "predict_logits", lambda network, *_: network.conv1.weight.clone())
    model, history = fitted(stored, ema_decay=0.9)
    for ours, average, weight in zip(judged, averages, last, strict=True):
        assert torch.equal(ours, average["conv1.weight"])
        assert not torch.equal(ours, weight)
    assert same_weights(model, {"state_dict": averages[int(history["best"].argmax())]})


def test_it_stops_when_patience_is_at_its_end(stored):
    """A rate this small changes no prediction, so the first epoch stays the best."""
    _, history = fitted(
        stored, epochs=9, early_stopping_patience=2, optimizer={"learning_rate": 1e-12}
    )
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["best"].tolist() == [True, False, False]


def test_images_grow_from_epoch_to_epoch_and_are_judged_at_their_own_size(stored, monkeypatch):
    learned = trace(monkeypatch, "gradients", lambda run, batch, *_: batch.inputs.shape[-1])
    model, history = fitted(
        stored, epochs=3, progressive_resizing_start=0.67, image_size=24, eval_size_ratio=1.33
    )
    assert history["image_size"].tolist() == [16, 24, 24]
    assert learned == [16] * 5 + [24] * 10
    assert model["preprocessing"]["image_size"] == 32


def test_views_asked_for_are_those_of_predictions_and_calibration(stored):
    model, _ = fitted(stored, test_time_augmentation="flips")
    assert model["test_time_augmentation"] == "flips"
    whole = calibrate(model, *stored)
    plain = calibrate({**model, "test_time_augmentation": "none"}, *stored)
    assert whole["calibration"] != plain["calibration"]
    shares = [predict(m, *stored, 16, "cpu")["p_red"] for m in (whole, plain)]
    assert not np.allclose(*shares)


def test_dropout_draws_anew_at_each_step(stored, monkeypatch):
    with_dropout(monkeypatch)
    seeds = trace(monkeypatch, "optimizer_step", lambda *_: torch.rand(1).item())
    fitted(stored)
    assert len(set(seeds)) == 10


@pytest.mark.parametrize(
    "part",
    [
        {"label_smoothing": 0.1},
        {"class_balance": "weights"},
        {"class_balance": "logit_adjustment"},
        {"class_balance": "square_root_sampler"},
        *({"augmentation": {name: value}} for name, value in CHANGING.items()),
        *({"optimizer": {name: value}} for name, value in OPTIMIZING.items()),
        {"schedule": {"name": "constant"}},
        {"schedule": {"warmup_fraction": 0.5}},
        {"ema_decay": 0.9},
        {"batch_size": 12},
        {"gradient_accumulation_steps": 2},
        {"image_size": 16},
        {"progressive_resizing_start": 0.5},
        {"frozen_backbone_epochs": 1},
    ],
    ids=str,
)
def test_each_part_of_the_recipe_shapes_the_weights(stored, monkeypatch, part):
    """A parameter that does nothing would be believed."""
    as_if_pretrained(monkeypatch)
    store, table = stored
    uneven = table[(table["label"] == "red") | (table.index % 3 > 0)].reset_index(drop=True)
    uneven.attrs = table.attrs
    plain, changed = (
        fitted((store, uneven), weights="imagenet", selection_metric="accuracy", **changes)[0]
        for changes in ({}, part)
    )
    assert not same_weights(plain, changed)


def test_parts_of_a_batch_are_clipped_as_the_whole(stored, monkeypatch):
    """Gradients that grew with the number of parts would be hidden by Adam, not by their length."""
    monkeypatch.setattr(nn, "BatchNorm2d", nn.Identity)
    lengths = []
    for parts in (1, 3):
        with monkeypatch.context() as patch:
            noted = trace(patch, "gradients", lambda run, *_: _gradient_length(run))
            fitted(stored, epochs=1, gradient_accumulation_steps=parts, precision="float32")
        lengths.append(noted)
    np.testing.assert_allclose(*lengths, rtol=1e-3)


def test_the_state_is_kept_after_so_many_minutes(stored, monkeypatch):
    """Steps of 20 s by a clock of our own, 5 in an epoch, and a state kept each minute."""
    clock, kept = [0.0], []
    real = step.optimizer_step

    def slow(run, batch):
        clock[0] += 20
        return real(run, batch)

    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(step, "optimizer_step", slow)
    monkeypatch.setattr(
        "skin_lesions.training.checkpoints.AsyncCheckpointWriter.save",
        lambda _, state: kept.append((state["epoch"], state["step"])),
    )
    fitted(stored, checkpoint_interval_minutes=1)
    assert kept == [(1, 3), (2, 0), (2, 3), (3, 0)]


def test_losses_are_looked_at_once_a_second(stored, monkeypatch):
    """Looking makes a GPU wait."""
    clock, looks = [0.0], []
    real_update, real_look = step.optimizer_step, monitor.TrainingMonitor.check_losses

    def quick(run, batch):
        clock[0] += 0.3
        return real_update(run, batch)

    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(step, "optimizer_step", quick)
    monkeypatch.setattr(
        monitor.TrainingMonitor,
        "check_losses",
        lambda self: (looks.append(clock[0]), real_look(self)),
    )
    fitted(stored, epochs=1)
    assert looks == pytest.approx([1.2, 1.5])  # and at the end of the epoch


def test_it_computes_in_the_precision_and_memory_order_asked_for(stored, monkeypatch):
    seen = []

    class Noting(SmallResNet):
        def forward(self, images):
            out = super().forward(images)
            if self.training:
                seen.append((out.dtype, images.is_contiguous(memory_format=torch.channels_last)))
            return out

    monkeypatch.setattr(
        "torchvision.models.get_model", lambda *_, num_classes, **__: Noting(num_classes)
    )
    fitted(stored, epochs=1)
    monkeypatch.setattr("skin_lesions.training.state.choose_precision", lambda *_: torch.bfloat16)
    fitted(stored, epochs=1, memory_format="contiguous")
    assert seen[0] == (choose_precision(torch.device("cpu"), "auto"), True)
    assert seen[-1] == (torch.bfloat16, False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_makes_a_gpu_wait(stored, monkeypatch):
    """From augmentation to the averaged weights; the first step of all may."""

    def strict(real):
        def watched(run, *others):
            torch.cuda.set_sync_debug_mode("error" if run.step else "default")
            try:
                return real(run, *others)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return watched

    monkeypatch.setattr(step, "make_batch", strict(step.make_batch))
    monkeypatch.setattr(step, "optimizer_step", strict(step.optimizer_step))
    fitted(stored, device="cuda", **EVERYTHING)


# Broken off and resumed


class KilledError(Exception):
    pass


def broken_off(monkeypatch, after, place="optimizer_step"):
    """Let the training die at its so-manyth step (or judging)."""
    real, calls = getattr(PLACES[place], place), []

    def dying(*args):
        calls.append(None)
        if len(calls) == after:
            raise KilledError
        return real(*args)

    monkeypatch.setattr(PLACES[place], place, dying)


def killed_at(monkeypatch, stored, after, place="optimizer_step", **changes):
    with monkeypatch.context() as patch:
        broken_off(patch, after, place)
        with pytest.raises(KilledError):
            fitted(stored, **changes)


def with_dropout(monkeypatch):
    """ResNet-18 has nothing that draws while learning: give it a head that does."""

    def start(*args):
        start = create_network(*args)
        start.network.fc = nn.Sequential(nn.Dropout(0.5), start.network.fc)
        return start

    monkeypatch.setattr(fit, "create_network", start)


@pytest.mark.parametrize("minutes", [1e-9, 10], ids=["kept each step", "kept each epoch"])
@pytest.mark.parametrize(
    ("place", "after"),
    [
        ("optimizer_step", 1),
        ("optimizer_step", 3),
        ("optimizer_step", 8),
        ("validate", 1),
        ("validate", 3),
    ],
)
def test_a_training_broken_off_ends_with_the_weights_of_one_that_was_not(
    stored, monkeypatch, caplog, place, after, minutes
):
    caplog.set_level(logging.INFO)
    with_dropout(monkeypatch)
    changes = EVERYTHING | {"epochs": 3, "checkpoint_interval_minutes": minutes}
    undisturbed, history = fitted(stored, **changes)
    killed_at(monkeypatch, stored, after, place, **changes)
    caplog.clear()
    resumed, resumed_history = fitted(stored, **changes)
    assert same_weights(undisturbed, resumed)
    timeless = history.columns.drop(["seconds", "images_per_second"])
    pd.testing.assert_frame_equal(history[timeless], resumed_history[timeless])
    steps = (after - 1 if place == "optimizer_step" else 5 * after) if minutes < 1 else 0
    epochs = (after - 1) // 5 if place == "optimizer_step" else after - 1
    told = [r.getMessage() for r in caplog.records if "resuming" in r.getMessage()]
    if steps or epochs:
        in_epoch = steps - 5 * epochs if steps else 0
        assert told == [f"resuming from epoch {epochs + 1}, step {in_epoch}"]
    else:
        assert told == []


def test_a_training_that_was_over_is_not_repeated(stored, monkeypatch):
    checkpoints = Checkpoints(stored[0].folder / "checkpoints")
    first, _ = fit_model(*stored, checkpoints, recipe(), "stretch", 32)
    broken_off(monkeypatch, 1)
    second, _ = fit_model(*stored, checkpoints, recipe(), "stretch", 32)
    assert same_weights(first, second)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "train.seed was 3, is 4"),
        (
            {"optimizer": {"learning_rate": 2e-3}},
            "train.optimizer.learning_rate was 0.001, is 0.002",
        ),
        ("code", "skin-lesions was 0.1.0 ("),
        ("data", "split of the images was"),
    ],
)
def test_what_has_changed_starts_afresh_and_says_why(stored, monkeypatch, caplog, change, words):
    caplog.set_level(logging.INFO)
    killed_at(monkeypatch, stored, 7)
    store, table = stored
    if change == "code":
        monkeypatch.setattr(identity, "_code_hash", lambda: "0badc0de")
    elif change == "data":
        table = table.assign(label=table["label"].where(table.index != 0, "red"))
        table.attrs = stored[1].attrs
    changes = change if isinstance(change, dict) else {}
    _, history = fitted((store, table), **changes)
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert words in told
    assert change != "code" or "is 0.1.0 (0badc0de)" in told
    assert "resuming" not in told
    assert len(history) == 2


def test_how_often_it_is_kept_is_no_reason_to_start_afresh(stored, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    killed_at(monkeypatch, stored, 7)
    fitted(stored, checkpoint_interval_minutes=5)
    assert "resuming from epoch 2, step 0" in caplog.text


def test_what_shapes_no_weights_is_no_reason_to_start_afresh(stored, monkeypatch, tmp_path, caplog):
    """A file of weights that was moved, another address of the cluster, other views in testing."""
    caplog.set_level(logging.INFO)
    first, moved, other = (tmp_path / name for name in ("first.pth", "moved.pth", "other.pth"))
    torch.save(SmallResNet(2).state_dict(), first)
    torch.save(SmallResNet(2).state_dict(), other)
    killed_at(monkeypatch, stored, 7, weights=str(first))
    first.rename(moved)
    elsewhere = {"ray": {"address": "auto"}, "test_time_augmentation": "flips"}
    fitted(stored, weights=str(moved), **elsewhere)
    assert "resuming from epoch 2, step 0" in caplog.text
    killed_at(monkeypatch, stored, 7, weights=str(moved))
    caplog.clear()
    fitted(stored, weights=str(other))
    assert "resuming" not in caplog.text
    assert "starting weights.sha256 was" in caplog.text


def test_ctrl_c_keeps_the_state_and_says_so(stored, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    undisturbed, _ = fitted(stored)
    real, calls = step.optimizer_step, []

    def interrupting(*args):
        calls.append(None)
        if len(calls) == 7:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(step, "optimizer_step", interrupting)
        with pytest.raises(KeyboardInterrupt):
            fitted(stored)
    assert "Stopped in epoch 2 after step 2 of 5" in caplog.text
    resumed, _ = fitted(stored)
    assert "resuming from epoch 2, step 2" in caplog.text
    assert same_weights(undisturbed, resumed)


def test_ctrl_c_while_the_last_epoch_is_judged_stops_before_what_follows(
    stored, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    undisturbed, _ = fitted(stored)
    real, calls = loop.validate, []

    def interrupting(*args):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", interrupting)
        with pytest.raises(KeyboardInterrupt):
            fitted(stored)
    assert "Stopped after epoch 2. The state is kept" in caplog.text
    resumed, _ = fitted(stored)
    assert "This training is over; its result is taken from the checkpoint" in caplog.text
    assert same_weights(undisturbed, resumed)


def test_it_goes_on_where_the_precision_is_another(stored, monkeypatch, caplog):
    """A free notebook service lends another GPU each time: begun in bfloat16, taken up in float16."""
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr("skin_lesions.training.state.choose_precision", lambda *_: torch.bfloat16)
        killed_at(monkeypatch, stored, 7)
    monkeypatch.setattr("skin_lesions.training.state.choose_precision", lambda *_: torch.float16)
    _, history = fitted(stored)
    assert "resuming from epoch 2, step 0" in caplog.text
    assert np.isfinite(history["train_loss"]).all()


def test_a_driver_without_cuda_is_no_reason_to_fail_on_the_cpu(stored, monkeypatch):
    """An NVIDIA driver too old for this PyTorch: devices are counted, none can be used."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    fitted(stored, epochs=1)


def a_gpu_for(monkeypatch, images):
    """Let the memory hold so many images at a time, and no more."""
    real = step.gradients

    def small_gpu(run, batch, parts):
        if len(batch) / parts > images:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(run, batch, parts)

    monkeypatch.setattr(step, "gradients", small_gpu)


def test_memory_that_is_too_small_names_what_fits(stored, monkeypatch):
    a_gpu_for(monkeypatch, 3)
    with pytest.raises(InputError) as told:
        fitted(stored)
    assert "steps of 8 images of 32 pixels in 1 parts" in str(told.value)
    assert "--params train.gradient_accumulation_steps=4" in str(told.value)
    assert "--params train.batch_size=2" in str(told.value)
    fitted(stored, gradient_accumulation_steps=4, epochs=1)


def test_two_images_at_a_time_are_tried_before_a_gpu_is_called_too_small(stored, monkeypatch):
    """12 images in 2, 4 and then 6 parts; doubling alone would go past what fits."""
    a_gpu_for(monkeypatch, 2)
    with pytest.raises(InputError, match=r"--params train\.gradient_accumulation_steps=6"):
        fitted(stored, batch_size=12)


def test_memory_that_holds_nothing_asks_for_smaller_images(stored, monkeypatch):
    a_gpu_for(monkeypatch, 1)
    with pytest.raises(InputError, match=r"not even 2 images fit: lower train\.image_size"):
        fitted(stored)


def test_several_processes_try_nothing_when_memory_is_too_small(stored, monkeypatch):
    """They would wait for those that have none to try."""
    tried = []

    def small_gpu(run, batch, parts):
        tried.append(parts)
        run.process_group = ProcessGroup(0, 2)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "gradients", small_gpu)
    with pytest.raises(InputError, match=r"; try: --params train\.gradient_accumulation_steps=2"):
        fitted(stored)
    assert tried == [1]


def test_memory_that_is_too_small_to_augment_names_a_smaller_batch(stored, monkeypatch):
    def small_gpu(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "apply_augmentations", small_gpu)
    with pytest.raises(InputError, match=r"augment 8 images of 32 .* --params train\.batch_size=4"):
        fitted(stored)
