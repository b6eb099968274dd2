import copy
import logging
import math
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset, shuffled_batches
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.inference import load_network
from skin_lesions.models.networks import create_network
from skin_lesions.models.precision import choose_precision
from skin_lesions.models.trained_model import Selection
from skin_lesions.training import batches, best_epoch, callbacks, identity, step
from skin_lesions.training.augmentation import sample_augmentations
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.optimizers import max_learning_rate
from support.recipes import ALL_AUGMENTATIONS, ALL_OPTIONS, NO_AUGMENTATION, recipe
from support.training import calibrate_stored, fit_stored, predict_stored

pytestmark = pytest.mark.slow

MODULES = {
    "optimizer_step": step,
    "validate": best_epoch,
    "predict_logits": best_epoch,
}  # the functions that tests replace, and the modules in which they are looked up


class SmallResNet(nn.Module):
    """ResNet with minimal layers: these tests are about the loop, not about the network."""

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
    torch.set_num_threads(1)  # more threads would only wait for each other
    yield
    torch.set_num_threads(threads)


def train_model(stored, **changes):
    """Train to the end, then delete the checkpoint, as after saving the model."""
    model, history = fit_stored(stored, **changes)
    Checkpoints(stored[0].folder / "checkpoints").discard(model.provenance.training)
    return model, history


def random_network(classes):
    """Return the network with which ``train_model`` starts."""
    return create_network(
        architecture="resnet18",
        weights="none",
        weights_sha256=None,
        classes=classes,
        image_sizes=[32],
        seed=3,
    )


def same_weights(first, second):
    first, second = first.state_dict, second.state_dict
    return all(torch.equal(first[name], value) for name, value in second.items())


def test_training_reduces_the_loss_and_classifies_the_test_images(stored):
    model, history = train_model(stored, epochs=6, optimizer={"learning_rate": 3e-2})
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]
    test = predict_stored(calibrate_stored(model, stored), stored, "test")
    assert (test["predicted"] == test["label"]).mean() >= 0.9


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not(stored):
    first, second, other = (train_model(stored, seed=seed)[0] for seed in (1, 1, 2))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_training_restores_the_global_random_generator(stored):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train_model(stored, epochs=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy"])
def test_best_epoch_on_validation_is_selected(stored, metric):
    model, history = train_model(
        stored, epochs=3, selection_metric=metric, optimizer={"learning_rate": 1e-2}
    )
    assert history["best"].sum() == 1
    selected = history[history["best"]].iloc[0]
    assert selected[f"val_{metric}"] == history[f"val_{metric}"].max()
    assert model.selection == Selection(
        best_epoch=selected["epoch"], metric=metric, value=selected[f"val_{metric}"]
    )
    # The weights are those of the selected epoch: evaluation on val gives the same value.
    val = predict_stored(calibrate_stored(model, stored), stored, "val")
    correct = (val["predicted"] == val["label"]).groupby(val["label"]).mean()
    assert correct.mean() == pytest.approx(history["val_balanced_accuracy"][selected.name])


def test_epochs_are_validated_and_probabilities_calibrated_on_the_val_split(stored, monkeypatch):
    validated = trace(monkeypatch, "predict_logits", lambda _, images, *__: images.rows.tolist())
    model, _ = train_model(stored)
    store, table = stored
    val = table.frame[table.frame["split"] == "val"]
    expected = store.at(32).rows(val["image_id"].sort_values()).tolist()
    assert [sorted(rows) for rows in validated] == [sorted(expected)] * 2
    calibrated = calibrate_stored(model, stored).postprocessing.calibration
    without_test = replace(table, frame=table.frame[table.frame["split"] != "test"])
    assert calibrate_stored(model, (store, without_test)).postprocessing.calibration == calibrated
    assert calibrated.n == len(val)


@pytest.mark.parametrize("best", [1, 2, 3])
def test_epoch_is_selected_by_validation_and_not_by_training_metrics(stored, monkeypatch, best):
    """The validation results are made up. The training results are the same in all three cases."""
    weights = []

    def scripted_validation(context):
        weights.append(context.network.conv1.weight.clone())
        value = 0.9 if len(weights) == best else 0.5
        return {"val_loss": 1.0, "val_accuracy": value, "val_balanced_accuracy": value}

    monkeypatch.setattr(best_epoch, "validate", scripted_validation)
    model, _ = train_model(stored, epochs=3)
    assert model.selection.best_epoch == best
    assert torch.equal(model.state_dict["conv1.weight"], weights[best - 1])


def test_content_of_the_test_split_does_not_affect_training(stored, tmp_path):
    store, table = stored
    rows = table.frame
    changed = rows.assign(label=rows["label"].where(rows["split"] != "test", "green"))
    other = replace(table, frame=changed)
    first, second = train_model((store, table))[0], train_model((store, other))[0]
    assert same_weights(first, second)
    calibrated = [
        calibrate_stored(first, (store, table)),
        calibrate_stored(second, (store, other)),
    ]
    assert calibrated[0].postprocessing == calibrated[1].postprocessing


def test_error_of_a_non_finite_loss_names_epoch_step_rate_and_fix(stored):
    with pytest.raises(InputError) as stopped:
        train_model(stored, optimizer={"learning_rate": 1e30}, schedule={"name": "constant"})
    message = str(stopped.value)
    assert "in epoch 1, step 2, at a learning rate of 1e+30" in message
    assert "--params train.optimizer.learning_rate=3e+29" in message


def test_weights_corrupted_by_the_last_step_are_not_returned(stored):
    """Only one step: its own loss is finite, and no later training loss shows its effect."""
    with pytest.raises(InputError, match=r"The validation loss is nan in epoch 1, step 1, at"):
        train_model(
            stored,
            epochs=1,
            batch_size=36,
            optimizer={"learning_rate": 1e38},
            schedule={"name": "constant", "warmup_fraction": 0.0},
        )


def test_state_after_a_non_finite_loss_is_not_saved(stored):
    """Every step is saved here, except the one with a non-finite loss."""
    with pytest.raises(InputError, match="The loss is"):
        train_model(stored, optimizer={"learning_rate": 1e30}, checkpoint_interval_minutes=1e-9)
    (path,) = (stored[0].folder / "checkpoints").rglob("checkpoint.pt")
    assert torch.load(path, weights_only=True)["progress"]["step"] == 1


NOTEBOOK = {
    "optimizer": {"name": "adam", "weight_decay": 0.0, "learning_rate": 1e-3},
    "schedule": {"name": "constant", "warmup_fraction": 0.0},
    "augmentation": NO_AUGMENTATION,
    "selection_metric": "accuracy",
    "memory_format": "contiguous",
    "precision": "float32",
}


def test_notebook_recipe_equals_a_plain_adam_loop(stored):
    """A loop as in the notebook gives the same weights."""
    model, history = train_model(stored, epochs=1, **NOTEBOOK)
    assert history["learning_rate"].tolist() == [1e-3]
    train = stored[1].frame.query("split == 'train'").sort_values("file")
    classes = sorted(set(train["label"]))
    images = build_dataset(train, classes, stored[0].at(32), Preprocessing("stretch", 32, 32))
    network = random_network(classes).network
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    total = 0.0
    for batch_indices in shuffled_batches(len(images), 8, 3, 1):
        batch, labels = images.get_batch(batch_indices)
        loss = cross_entropy(network(normalize_batch(batch, images.preprocessing)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch_indices)
    assert history["train_loss"].tolist() == [pytest.approx(total / len(images), rel=1e-3)]
    batch, _ = images.get_batch(np.arange(8))
    inputs = normalize_batch(batch, images.preprocessing)
    with torch.inference_mode():
        expected, actual = network.eval()(inputs), load_network(model).eval()(inputs)
    torch.testing.assert_close(actual, expected, rtol=0.02, atol=0.02)


def test_settings_of_the_training_process_do_not_apply_to_predictions(stored, monkeypatch):
    calls = []
    monkeypatch.setattr("skin_lesions.models.devices.keep_freed_memory", lambda: calls.append(None))
    model, _ = train_model(stored, epochs=1, keep_freed_memory=True)
    assert len(calls) == 1
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)  # as set by a notebook
    predict_stored(calibrate_stored(model, stored), stored)
    assert torch.backends.cudnn.benchmark
    assert len(calls) == 1


def test_log_contains_the_device_each_epoch_and_the_remaining_time(stored, caplog):
    caplog.set_level(logging.INFO)
    train_model(stored, batch_size=2, epochs=2)
    messages = [record.getMessage() for record in caplog.records]
    assert any("on cpu (" in line and "36 images" in line for line in messages)
    assert any("Remaining training time: about" in line for line in messages)
    assert sum(line.startswith("Epoch ") for line in messages) == 2


def test_history_has_finite_numbers_for_every_epoch(stored):
    _, history = train_model(stored)
    assert history["epoch"].tolist() == [1, 2]
    assert all(math.isfinite(value) for value in history.drop(columns="best").to_numpy().ravel())


def test_predictions_are_calibrated_probabilities_of_val_and_test(stored):
    model = calibrate_stored(train_model(stored)[0], stored)
    predictions = predict_stored(model, stored, batch_size=7)
    assert set(predictions["split"]) == {"val", "test"}
    probabilities = predictions[["p_green", "p_red"]]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (probabilities.idxmax(axis=1).str.removeprefix("p_") == predictions["predicted"]).all()
    calibration = model.postprocessing.calibration
    higher = replace(calibration, temperature=10 * calibration.temperature)
    changed = replace(model.postprocessing, calibration=higher)
    softer = model.model_copy(update={"postprocessing": changed})
    softened = predict_stored(softer, stored)[["p_green", "p_red"]]
    assert softened.max().max() < probabilities.max().max()


# Options of the recipe

AUGMENTATION_CHANGES = ALL_AUGMENTATIONS | {"flips": False}  # the small recipe uses flips
OPTIMIZER_CHANGES = {
    "name": "adam",
    "learning_rate": 2e-3,
    "head_lr_multiplier": 3.0,
    "layerwise_lr_decay": 0.5,
    "weight_decay": 0.5,
    "max_grad_norm": 0.01,
}


def trace(monkeypatch, name, observe):
    """Return a list that gets the value of ``observe`` at each call of a function."""
    real, values = getattr(MODULES[name], name), []

    def tracing(*args):
        result = real(*args)
        values.append(observe(*args))
        return result

    monkeypatch.setattr(MODULES[name], name, tracing)
    return values


def use_random_weights_as_pretrained(monkeypatch):
    """Use random weights instead of those of the recipe."""
    monkeypatch.setattr(
        "skin_lesions.models.networks.create_network",
        lambda **values: create_network(**values | {"weights": "none"}),
    )


def test_first_epochs_train_only_the_head_with_frozen_batch_statistics(stored, monkeypatch):
    use_random_weights_as_pretrained(monkeypatch)

    def weights(context, *_):
        state = context.network.state_dict()
        backbone = torch.cat([v.flatten() for n, v in state.items() if not n.startswith("fc")])
        return backbone, state["fc.weight"].clone()

    steps = trace(monkeypatch, "optimizer_step", weights)
    train_model(stored, weights="imagenet", frozen_backbone_epochs=1, epochs=2)
    backbones, heads = zip(*steps, strict=True)
    assert all(torch.equal(backbone, backbones[0]) for backbone in backbones[:5])
    assert not torch.equal(heads[0], heads[4])
    assert not torch.equal(backbones[4], backbones[5])


def test_random_weights_are_trained_in_all_layers_from_the_start(stored, monkeypatch):
    weights = trace(
        monkeypatch, "optimizer_step", lambda context, *_: context.network.conv1.weight.clone()
    )
    train_model(stored, frozen_backbone_epochs=1)
    assert not torch.equal(weights[0], weights[1])


def test_schedule_starts_when_all_layers_are_trained(stored, monkeypatch):
    use_random_weights_as_pretrained(monkeypatch)
    rates = trace(
        monkeypatch, "optimizer_step", lambda context, *_: max_learning_rate(context.optimizer)
    )
    schedule = {"name": "cosine", "warmup_fraction": 0.0}
    train_model(stored, weights="imagenet", frozen_backbone_epochs=1, epochs=3, schedule=schedule)
    assert rates[:6] == [1e-3] * 6
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] < 1e-4


def test_learning_rate_is_set_before_its_step(stored):
    """The first step of a long warm-up is small."""
    first = train_model(stored, epochs=1, batch_size=36, schedule={"warmup_fraction": 0.9})[0]
    before = random_network(["green", "red"])
    change = (first.state_dict["conv1.weight"] - before.network.conv1.weight).abs().max()
    assert 0 < change < 0.8e-3  # the first step of Adam has the size of the learning rate


def test_gradient_accumulation_gives_the_gradients_of_the_complete_batch(stored, monkeypatch):
    """Without batch normalization, whose statistics are those of one accumulation step."""
    monkeypatch.setattr(nn, "BatchNorm2d", nn.Identity)
    losses = [train_model(stored, gradient_accumulation_steps=steps)[1] for steps in (1, 3)]
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(losses[0][column], losses[1][column], rtol=1e-4)


def _gradient_norm(context):
    return torch.stack([p.grad.norm() for p in context.network.parameters()]).norm().item()


def test_gradient_norm_is_limited_in_float16_as_well(stored, monkeypatch):
    """The scaler multiplies gradients by up to 65,536, which must not count in their norm."""
    monkeypatch.setattr("skin_lesions.training.context.choose_precision", lambda *_: torch.float16)
    norms = trace(monkeypatch, "optimizer_step", lambda context, *_: _gradient_norm(context))
    train_model(stored, epochs=1, optimizer={"max_grad_norm": 0.05})
    assert 0.04 < max(norm for norm in norms if math.isfinite(norm)) <= 0.0501


def test_training_accuracy_counts_the_labels_before_mixing(stored, monkeypatch):
    """With exchanged labels, but unchanged targets, correct predictions become wrong."""
    changes = {"epochs": 2, "optimizer": {"learning_rate": 3e-2}}
    _, history = train_model(stored, **changes)
    assert history["train_accuracy"].iloc[-1] > 0.6
    real = step.optimizer_step

    def exchanged(context, progress, forward, batch, *others):
        return real(context, progress, forward, replace(batch, labels=1 - batch.labels), *others)

    monkeypatch.setattr(step, "optimizer_step", exchanged)
    _, exchanged_history = train_model(stored, **changes)
    expected = 1 - history["train_accuracy"]
    np.testing.assert_allclose(exchanged_history["train_accuracy"], expected, rtol=1e-6)


def test_sums_of_an_epoch_keep_no_gradients(stored, monkeypatch):
    """They would keep the activations of all steps of the epoch in memory."""
    needs_gradients = trace(
        monkeypatch, "optimizer_step", lambda _, progress, *__: progress.epoch_totals.requires_grad
    )
    train_model(stored, epochs=1)
    assert needs_gradients == [False] * 5


def test_gradient_norm_is_at_most_the_requested_one(stored, monkeypatch):
    with monkeypatch.context() as patch:
        unclipped = trace(patch, "optimizer_step", lambda context, *_: _gradient_norm(context))
        train_model(stored, epochs=1)
    assert max(unclipped) > 0.1
    clipped = trace(monkeypatch, "optimizer_step", lambda context, *_: _gradient_norm(context))
    train_model(stored, epochs=1, optimizer={"max_grad_norm": 0.05})
    assert max(clipped) <= 0.0501


def test_ema_weights_are_validated_and_saved(stored, monkeypatch):
    def ema_weights(context):
        return {name: value.clone() for name, value in context.ema.network.state_dict().items()}

    averages = trace(monkeypatch, "validate", ema_weights)
    last = trace(monkeypatch, "validate", lambda context: context.network.conv1.weight.clone())
    validated = trace(
        monkeypatch, "predict_logits", lambda network, *_: network.conv1.weight.clone()
    )
    model, history = train_model(stored, ema_decay=0.9)
    for weight, average, last_weight in zip(validated, averages, last, strict=True):
        assert torch.equal(weight, average["conv1.weight"])
        assert not torch.equal(weight, last_weight)
    best = averages[int(history["best"].argmax())]
    assert all(torch.equal(model.state_dict[name], value) for name, value in best.items())


def test_ema_starts_with_a_short_memory(stored, monkeypatch):
    """The random initial weights have a fraction of 0.1 after one step, and 0.1 * 2 / 11 after two.

    With the decay of the recipe from the start, it would be 0.9 after one step.
    """
    initial = random_network(["green", "red"]).network.conv1.weight.detach()
    steps = trace(
        monkeypatch,
        "optimizer_step",
        lambda context, *_: (
            context.network.conv1.weight.detach().clone(),
            context.ema.network.conv1.weight.clone(),
        ),
    )
    train_model(stored, epochs=1, ema_decay=0.9)
    (first, first_average), (second, second_average) = steps[:2]
    torch.testing.assert_close(first_average, 0.1 * initial + 0.9 * first)
    torch.testing.assert_close(second_average, 2 / 11 * first_average + 9 / 11 * second)


def test_each_image_of_an_epoch_has_its_own_augmentation(stored, monkeypatch):
    """In the order of the epoch, also in the last batch, which is smaller."""
    real, used = batches.augment_batch, []

    def recording(context, images, labels, rows, **options):
        used.append(rows.color_matrices)
        return real(context, images, labels, rows, **options)

    monkeypatch.setattr(batches, "augment_batch", recording)
    changes = recipe(augmentation={"brightness": 0.5})
    model, _ = train_model(stored, epochs=2, augmentation={"brightness": 0.5})
    for epoch in (1, 2):
        expected = sample_augmentations(36, 3, epoch, changes.augmentation, model.preprocessing)
        of_epoch = torch.cat(used[5 * (epoch - 1) : 5 * epoch])
        torch.testing.assert_close(of_epoch, expected.color_matrices)


def test_early_stopping_after_the_patience(stored):
    """This learning rate is too small to change a prediction: the first epoch remains the best."""
    _, history = train_model(
        stored, epochs=9, early_stopping_patience=2, optimizer={"learning_rate": 1e-12}
    )
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["best"].tolist() == [True, False, False]


def test_progressive_resizing_in_training_and_fixed_size_in_validation(stored, monkeypatch):
    sizes = trace(monkeypatch, "optimizer_step", lambda *args: args[3].inputs.shape[-1])
    validated = trace(
        monkeypatch,
        "predict_logits",
        lambda _, images, *__: images.get_batch(np.arange(1))[0].shape,
    )
    model, history = train_model(
        stored, epochs=3, progressive_resizing_start=0.67, image_size=24, eval_size_ratio=1.33
    )
    assert history["image_size"].tolist() == [16, 24, 24]
    assert sizes == [16] * 5 + [24] * 10
    assert validated == [(1, 3, 32, 32)] * 3
    assert model.preprocessing.image_size == 32


def test_test_time_augmentation_is_used_in_predictions_and_calibration(stored):
    model, _ = train_model(stored, test_time_augmentation="flips")
    assert model.test_time_augmentation == "flips"
    augmented = calibrate_stored(model, stored)
    plain = calibrate_stored(model.model_copy(update={"test_time_augmentation": "none"}), stored)
    assert augmented.postprocessing != plain.postprocessing
    probabilities = [predict_stored(m, stored)["p_red"] for m in (augmented, plain)]
    assert not np.allclose(*probabilities)


def test_dropout_draws_new_random_numbers_at_each_step(stored, monkeypatch):
    add_dropout(monkeypatch)
    numbers = trace(monkeypatch, "optimizer_step", lambda *_: torch.rand(1).item())
    train_model(stored)
    assert len(set(numbers)) == 10


@pytest.mark.parametrize(
    "option",
    [
        {"label_smoothing": 0.1},
        {"class_balance": "weights"},
        {"class_balance": "logit_adjustment"},
        {"class_balance": "square_root_sampler"},
        *({"augmentation": {name: value}} for name, value in AUGMENTATION_CHANGES.items()),
        *({"optimizer": {name: value}} for name, value in OPTIMIZER_CHANGES.items()),
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
def test_each_option_of_the_recipe_affects_the_weights(stored, monkeypatch, option):
    """Nobody would notice a parameter without effect."""
    use_random_weights_as_pretrained(monkeypatch)
    store, table = stored
    rows = table.frame
    kept = rows[(rows["label"] == "red") | (rows.index % 3 > 0)].reset_index(drop=True)
    imbalanced = replace(table, frame=kept)
    plain, changed = (
        train_model(
            (store, imbalanced), weights="imagenet", selection_metric="accuracy", **changes
        )[0]
        for changes in ({}, option)
    )
    assert not same_weights(plain, changed)


def test_gradient_accumulation_does_not_change_clipping(stored, monkeypatch):
    """Adam would hide gradients that grow with the number of steps; their norm does not."""
    monkeypatch.setattr(nn, "BatchNorm2d", nn.Identity)
    norms = []
    for steps in (1, 3):
        with monkeypatch.context() as patch:
            norms_of_steps = trace(
                patch, "optimizer_step", lambda context, *_: _gradient_norm(context)
            )
            train_model(stored, epochs=1, gradient_accumulation_steps=steps, precision="float32")
        norms.append(norms_of_steps)
    np.testing.assert_allclose(*norms, rtol=1e-3)


def test_checkpoint_is_saved_after_the_interval(stored, monkeypatch):
    """Steps of 20 s on a fake clock, 5 per epoch, and a checkpoint every minute."""
    clock, saved = [0.0], []
    real = step.optimizer_step

    def slow(*args):
        clock[0] += 20
        return real(*args)

    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(step, "optimizer_step", slow)
    monkeypatch.setattr(
        "skin_lesions.training.checkpoints.AsyncCheckpointWriter.save",
        lambda _, state: saved.append((state["progress"]["epoch"], state["progress"]["step"])),
    )
    train_model(stored, checkpoint_interval_minutes=1)
    assert saved == [(1, 3), (2, 0), (2, 3), (3, 0)]


def test_losses_are_checked_once_per_second(stored, monkeypatch):
    """Each check synchronizes with the GPU."""
    clock, checks = [0.0], []
    real_step, real_check = step.optimizer_step, callbacks.TrainingCallbacks.check_losses

    def quick(*args):
        clock[0] += 0.3
        return real_step(*args)

    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(step, "optimizer_step", quick)
    monkeypatch.setattr(
        callbacks.TrainingCallbacks,
        "check_losses",
        lambda self: (checks.append(clock[0]), real_check(self)),
    )
    train_model(stored, epochs=1)
    assert checks == pytest.approx([1.2, 1.5])  # and at the end of the epoch


def test_training_uses_the_requested_precision_and_memory_format(stored, monkeypatch):
    formats = []

    class RecordingResNet(SmallResNet):
        def forward(self, images):
            out = super().forward(images)
            if self.training:
                formats.append((out.dtype, images.is_contiguous(memory_format=torch.channels_last)))
            return out

    monkeypatch.setattr(
        "torchvision.models.get_model", lambda *_, num_classes, **__: RecordingResNet(num_classes)
    )
    train_model(stored, epochs=1)
    monkeypatch.setattr("skin_lesions.training.context.choose_precision", lambda *_: torch.bfloat16)
    train_model(stored, epochs=1, memory_format="contiguous")
    assert formats[0] == (choose_precision(torch.device("cpu"), "auto"), True)
    assert formats[-1] == (torch.bfloat16, False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_steps_do_not_synchronize_with_the_gpu(stored, monkeypatch):
    """From augmentation to the EMA; the first of the five steps of an epoch may synchronize."""

    def strict(real):
        calls = []

        def watched(*args, **options):
            torch.cuda.set_sync_debug_mode("error" if len(calls) % 5 else "default")
            calls.append(None)
            try:
                return real(*args, **options)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return watched

    monkeypatch.setattr(batches, "augment_batch", strict(batches.augment_batch))
    monkeypatch.setattr(step, "optimizer_step", strict(step.optimizer_step))
    train_model(stored, device="cuda", **ALL_OPTIONS)


# Interrupted and resumed trainings


class KilledError(Exception):
    pass


def raise_at_call(monkeypatch, number, name="optimizer_step"):
    """Raise KilledError at a call of ``optimizer_step`` or ``validate``, counted from 1."""
    real, calls = getattr(MODULES[name], name), []

    def killed(*args):
        calls.append(None)
        if len(calls) == number:
            raise KilledError
        return real(*args)

    monkeypatch.setattr(MODULES[name], name, killed)


def train_until_killed(monkeypatch, stored, number, name="optimizer_step", **changes):
    with monkeypatch.context() as patch:
        raise_at_call(patch, number, name)
        with pytest.raises(KilledError):
            train_model(stored, **changes)


def add_dropout(monkeypatch):
    """Add dropout to the head, because ResNet-18 draws no random numbers in training."""

    def create_with_dropout(**values):
        initial = create_network(**values)
        initial.network.fc = nn.Sequential(nn.Dropout(0.5), initial.network.fc)
        return initial

    monkeypatch.setattr("skin_lesions.models.networks.create_network", create_with_dropout)


@pytest.mark.parametrize("minutes", [1e-9, 10], ids=["saved every step", "saved every epoch"])
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("optimizer_step", 1),
        ("optimizer_step", 3),
        ("optimizer_step", 8),
        ("validate", 1),
        ("validate", 3),
    ],
)
def test_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    stored, monkeypatch, caplog, name, number, minutes
):
    caplog.set_level(logging.INFO)
    add_dropout(monkeypatch)
    changes = ALL_OPTIONS | {"epochs": 3, "checkpoint_interval_minutes": minutes}
    expected, history = train_model(stored, **changes)
    train_until_killed(monkeypatch, stored, number, name, **changes)
    caplog.clear()
    resumed, resumed_history = train_model(stored, **changes)
    assert same_weights(expected, resumed)
    columns = history.columns.drop(["seconds", "images_per_second"])
    pd.testing.assert_frame_equal(history[columns], resumed_history[columns])
    steps = (number - 1 if name == "optimizer_step" else 5 * number) if minutes < 1 else 0
    epochs = (number - 1) // 5 if name == "optimizer_step" else number - 1
    messages = [r.getMessage() for r in caplog.records if "resumed" in r.getMessage()]
    if steps or epochs:
        in_epoch = steps - 5 * epochs if steps else 0
        assert messages == [f"Training resumed at epoch {epochs + 1}, step {in_epoch}"]
    else:
        assert messages == []


def test_complete_training_is_not_repeated(stored, monkeypatch):
    first, _ = fit_stored(stored)
    raise_at_call(monkeypatch, 1)
    second, _ = fit_stored(stored)
    assert same_weights(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "train.seed was 3, is 4"),
        (
            {"optimizer": {"learning_rate": 2e-3}},
            "train.optimizer.learning_rate was 0.001, is 0.002",
        ),
        ("code", "is 0badc0de"),
        ("data", "image split was"),
    ],
)
def test_changed_training_starts_from_scratch_and_logs_why(
    stored, monkeypatch, caplog, change, message
):
    caplog.set_level(logging.INFO)
    train_until_killed(monkeypatch, stored, 7)
    store, table = stored
    if change == "code":
        monkeypatch.setattr(identity, "code_hash", lambda: "0badc0de")
    elif change == "data":
        rows = table.frame
        relabeled = rows.assign(label=rows["label"].where(rows.index != 0, "red"))
        table = replace(table, frame=relabeled)
    changes = change if isinstance(change, dict) else {}
    _, history = train_model((store, table), **changes)
    messages = "\n".join(record.getMessage() for record in caplog.records)
    assert message in messages
    assert change != "code" or "training code was " in messages
    assert "resumed" not in messages
    assert len(history) == 2


def test_changed_checkpoint_interval_does_not_prevent_resuming(stored, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    train_until_killed(monkeypatch, stored, 7)
    train_model(stored, checkpoint_interval_minutes=5)
    assert "Training resumed at epoch 2, step 0" in caplog.text


def test_settings_without_effect_on_weights_do_not_prevent_resuming(
    stored, monkeypatch, tmp_path, caplog
):
    """A moved weights file, another Ray address, other test-time augmentation, kept memory."""
    caplog.set_level(logging.INFO)
    first, moved, other = (tmp_path / name for name in ("first.pth", "moved.pth", "other.pth"))
    torch.save(SmallResNet(2).state_dict(), first)
    torch.save(SmallResNet(2).state_dict(), other)
    train_until_killed(monkeypatch, stored, 7, weights=str(first))
    first.rename(moved)
    monkeypatch.setattr("skin_lesions.models.devices.keep_freed_memory", lambda: None)
    changes = {
        "ray": {"address": "auto"},
        "test_time_augmentation": "flips",
        "keep_freed_memory": True,
    }
    train_model(stored, weights=str(moved), **changes)
    assert "Training resumed at epoch 2, step 0" in caplog.text
    train_until_killed(monkeypatch, stored, 7, weights=str(moved))
    caplog.clear()
    train_model(stored, weights=str(other))
    assert "resumed" not in caplog.text
    assert "initial weights.sha256 was" in caplog.text


def test_ctrl_c_saves_the_state_and_logs_it(stored, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    expected, _ = train_model(stored)
    real, calls = step.optimizer_step, []

    def interrupting(*args):
        calls.append(None)
        if len(calls) == 7:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(step, "optimizer_step", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train_model(stored)
    assert "Training stopped in epoch 2 after step 2 of 5" in caplog.text
    resumed, _ = train_model(stored)
    assert "Training resumed at epoch 2, step 2" in caplog.text
    assert same_weights(expected, resumed)


def test_ctrl_c_during_the_last_validation_stops_before_the_next_node(stored, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    expected, _ = train_model(stored)
    real, calls = best_epoch.validate, []

    def interrupting(*args):
        calls.append(None)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(best_epoch, "validate", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train_model(stored)
    assert "Training stopped after epoch 2. The checkpoint was saved" in caplog.text
    resumed, _ = train_model(stored)
    assert "Training is already complete. The result was loaded from the checkpoint" in caplog.text
    assert same_weights(expected, resumed)


def test_training_resumes_in_another_precision(stored, monkeypatch, caplog):
    """Free notebook services assign a different GPU each time: from bfloat16 to float16."""
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as patch:
        patch.setattr("skin_lesions.training.context.choose_precision", lambda *_: torch.bfloat16)
        train_until_killed(monkeypatch, stored, 7)
    monkeypatch.setattr("skin_lesions.training.context.choose_precision", lambda *_: torch.float16)
    _, history = train_model(stored)
    assert "Training resumed at epoch 2, step 0" in caplog.text
    assert np.isfinite(history["train_loss"]).all()


def test_training_on_the_cpu_works_with_an_unusable_cuda_driver(stored, monkeypatch):
    """With an NVIDIA driver too old for this PyTorch, devices are counted but cannot be used."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    train_model(stored, epochs=1)


def limit_gpu_memory(monkeypatch, images):
    """Simulate a GPU whose memory is sufficient for ``images`` images at a time."""
    real = step.optimizer_step

    def small_gpu(context, progress, forward, batch, accumulation_steps):
        if len(batch) / accumulation_steps > images:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(context, progress, forward, batch, accumulation_steps)

    monkeypatch.setattr(step, "optimizer_step", small_gpu)


def test_out_of_memory_error_names_settings_that_fit(stored, monkeypatch):
    limit_gpu_memory(monkeypatch, 3)
    with pytest.raises(InputError) as caught:
        train_model(stored)
    assert "steps of 8 images of 32 pixels (train.gradient_accumulation_steps=1)" in str(
        caught.value
    )
    assert "--params train.gradient_accumulation_steps=4" in str(caught.value)
    assert "--params train.batch_size=2" in str(caught.value)
    train_model(stored, gradient_accumulation_steps=4, epochs=1)


def test_two_images_are_tried_before_the_gpu_memory_is_reported_as_too_small(stored, monkeypatch):
    """12 images in 2, 4 and then 6 steps; doubling only would exceed the number that fits."""
    limit_gpu_memory(monkeypatch, 2)
    with pytest.raises(InputError, match=r"--params train\.gradient_accumulation_steps=6"):
        train_model(stored, batch_size=12)


def test_out_of_memory_error_with_two_images_asks_for_smaller_images(stored, monkeypatch):
    limit_gpu_memory(monkeypatch, 1)
    with pytest.raises(
        InputError, match=r"Even 2 images do not fit\. Fix: reduce train\.image_size"
    ):
        train_model(stored)


def test_several_processes_try_no_other_settings_when_memory_is_too_small(stored, monkeypatch):
    """They would wait for the processes that have enough memory."""
    tried = []

    def small_gpu(context, progress, forward, batch, accumulation_steps):
        tried.append(accumulation_steps)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    def training_step(context, *others):
        return step.training_step(replace(context, process_group=ProcessGroup(0, 2)), *others)

    monkeypatch.setattr(step, "optimizer_step", small_gpu)
    monkeypatch.setattr("skin_lesions.training.loop.training_step", training_step)
    with pytest.raises(
        InputError, match=r"Fix \(not tested\): --params train\.gradient_accumulation_steps=2"
    ):
        train_model(stored)
    assert tried == [1]


def test_out_of_memory_error_in_augmentation_names_a_smaller_batch(stored, monkeypatch):
    def small_gpu(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batches, "apply_augmentations", small_gpu)
    with pytest.raises(InputError, match=r"augment 8 images of 32 .* --params train\.batch_size=4"):
        train_model(stored)
