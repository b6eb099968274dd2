"""Trainings of a network together with clinical metadata."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.tables import SplitTable, probability_column
from skin_lesions.models.networks import classifier_head, layer_groups
from skin_lesions.pipelines.train.clinical_metadata import ClinicalMetadata
from skin_lesions.training import batches, step
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.concat_network import ConcatNetwork
from skin_lesions.training.context import create_context
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob
from support.imagesets import blobs, square_images
from support.models import SPLIT_PROVENANCE
from support.recipes import recipe
from support.training import calibrate_stored, fit_stored, predict_stored

AGE = MetadataInputs(columns=("age",), types={}, equalize_missing=True)
OPTIONS = {"fusion": "concat", "metadata_dropout": 0.3, "epochs": 12}
OPTIONS |= {"optimizer": {"learning_rate": 1e-2, "head_lr_multiplier": 3.0}}


def small_network(classes: int = 2) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)),
    )


@pytest.fixture(autouse=True)
def use_small_network(monkeypatch):
    monkeypatch.setattr(
        "torchvision.models.get_model", lambda *_, num_classes, **__: small_network(num_classes)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_training_starts_with_the_image_alone_and_missing_metadata_add_nothing():
    network = small_network().eval()
    joined = ConcatNetwork(network, width=3, classes=2).eval()
    images, metadata = torch.rand(4, 3, 32, 32), torch.rand(4, 3)
    torch.testing.assert_close(joined(images, metadata), network(images))
    nn.init.ones_(joined.metadata.weight)
    torch.testing.assert_close(joined(images), network(images))
    torch.testing.assert_close(joined(images, torch.zeros(4, 3)), network(images))
    expected = network(images) + metadata.sum(dim=1, keepdim=True)
    torch.testing.assert_close(joined(images, metadata), expected)


def test_coefficients_of_the_metadata_are_part_of_the_head():
    network = small_network()
    joined = ConcatNetwork(network, width=3, classes=2)
    assert joined.metadata.weight in set(classifier_head(joined).parameters())
    *backbone, head = layer_groups(joined)
    *same_backbone, same_head = layer_groups(network)
    assert [list(map(id, group)) for group in backbone] == [
        list(map(id, group)) for group in same_backbone
    ]
    assert list(map(id, head)) == [*map(id, same_head), id(joined.metadata.weight)]


def job(folder, metadata, **changes):
    """Return a training of images with metadata, one row per image."""
    pixels, table = blobs(len(metadata))
    images = build_dataset(
        table,
        ["green", "red"],
        square_images(folder, pixels),
        Preprocessing("stretch", 32, 32),
        np.asarray(metadata, np.float32),
    )
    return TrainingJob(
        recipe=recipe(fusion="concat", **changes),
        train_images=images,
        val_images=images,
        network=ConcatNetwork(small_network(), images.metadata.shape[1], 2),
        checkpoint=Checkpoints(folder).for_training({"a": 1}),
    )


def batches_of_epoch(job, epoch=1):
    context = create_context(job, ProcessGroup(), torch.device("cpu"))
    return list(batches.augmented_batches(context, epoch, first_step=0))


@pytest.mark.parametrize("mixing", [{"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0}])
def test_metadata_are_mixed_in_the_same_proportion_as_the_targets(tmp_path, mixing):
    """Metadata that repeat the target of each image still do after the mixing."""
    of_target = np.eye(2)[np.arange(60) % 2]
    of_epoch = batches_of_epoch(job(tmp_path, of_target, augmentation=mixing, metadata_dropout=0.0))
    assert len(of_epoch) > 1
    for batch in of_epoch:
        assert ((batch.targets > 0.01) & (batch.targets < 0.99)).any()
        torch.testing.assert_close(batch.metadata, batch.targets)
        parts = batch.split(2)
        assert torch.equal(torch.cat([part.metadata for part in parts]), batch.metadata)


def test_a_fraction_of_the_images_loses_all_metadata_in_each_epoch(tmp_path):
    training = job(tmp_path, np.ones((300, 3)), metadata_dropout=0.25)
    first, again, second = (batches_of_epoch(training, epoch) for epoch in (1, 1, 2))
    first, again, second = (
        torch.cat([batch.metadata for batch in of_epoch]) for of_epoch in (first, again, second)
    )
    assert torch.equal(first.amin(dim=1), first.amax(dim=1))  # all numbers of an image, or none
    assert 0.15 < (first.sum(dim=1) == 0).float().mean() < 0.35
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def stored_images(folder, *, in_pixels, in_age, missing_age=0.0, seed=5):
    """Store 120 images of two classes, which pixels or age reveal, or neither of them.

    ``missing_age`` is the fraction of missing ages of the second class.
    """
    pixels, table = blobs(120)
    rng = np.random.default_rng(seed)
    if not in_pixels:
        pixels = rng.integers(0, 256, pixels.shape).astype(np.uint8)
    is_red = (table["label"] == "red").to_numpy()
    age = rng.normal(40, 5, 120) + 40 * is_red * in_age
    is_missing = is_red & (rng.random(120) < missing_age)
    table = table.assign(age=pd.Series(age).mask(is_missing))
    square_images(PixelStore(folder).at(32).folder, pixels)
    return PixelStore(folder), SplitTable(table, SPLIT_PROVENANCE, "v1")


def accuracy_on_test(stored, **changes):
    """Train; return the accuracy of the test images from the image alone and with metadata."""
    model, _ = fit_stored(stored, AGE, **OPTIONS | changes)
    calibrated = calibrate_stored(model, stored, **OPTIONS | changes)
    image = predict_stored(calibrated, stored, "test")
    fusion = calibrated.postprocessing.metadata_fusion
    rows = stored[1].frame[stored[1].frame["split"] == "test"]
    evidence = fusion.evidence(fusion.encoder.encode(rows))
    columns = [probability_column(name) for name in calibrated.classes]
    both = (np.log(image[columns].to_numpy()) + evidence).argmax(axis=1)
    label = pd.Index(calibrated.classes).get_indexer(pd.Index(rows["label"]))
    return (image["predicted"] == image["label"]).mean(), (both == label).mean()


@pytest.mark.slow
def test_network_uses_the_input_that_shows_the_class(tmp_path):
    image, both = accuracy_on_test(stored_images(tmp_path / "a", in_pixels=False, in_age=True))
    assert image < 0.75
    assert both >= 0.9
    image, both = accuracy_on_test(stored_images(tmp_path / "b", in_pixels=True, in_age=False))
    assert min(image, both) >= 0.9
    image, both = accuracy_on_test(stored_images(tmp_path / "c", in_pixels=True, in_age=True))
    assert min(image, both) >= 0.9  # metadata_dropout: the image alone is enough


@pytest.mark.slow
def test_network_does_not_use_what_is_missing(tmp_path):
    """An age is missing for 80 % of one class. Whether it is missing is right in 90 %."""
    found = [
        accuracy_on_test(
            stored_images(
                tmp_path / str(seed), in_pixels=False, in_age=False, missing_age=0.8, seed=seed
            )
        )
        for seed in range(4)
    ]
    assert np.mean(found, axis=0).max() < 0.7


@pytest.mark.slow
def test_model_contains_the_coefficients_and_the_network_of_the_image(tmp_path):
    stored = stored_images(tmp_path, in_pixels=True, in_age=True)
    model, history = fit_stored(stored, AGE, **OPTIONS | {"epochs": 2})
    assert set(model.state_dict) == set(small_network().state_dict())
    assert model.metadata_model.method == "concat"
    assert np.any(model.metadata_model.coefficients)
    assert history["val_loss"].notna().all()


@pytest.mark.slow
def test_epochs_are_validated_with_metadata(tmp_path):
    """Only the age shows the class, and the network with it is nearly always right."""
    stored = stored_images(tmp_path, in_pixels=False, in_age=True)
    _, history = fit_stored(stored, AGE, **OPTIONS)
    assert history["val_accuracy"].max() >= 0.9


@pytest.mark.slow
def test_interrupted_training_has_the_same_weights(tmp_path, monkeypatch):
    changes = OPTIONS | {"epochs": 3, "ema_decay": 0.9, "checkpoint_interval_minutes": 1e-9}
    stored = stored_images(tmp_path / "a", in_pixels=True, in_age=True)
    expected, _ = fit_stored(stored, AGE, **changes)
    real, calls = step.optimizer_step, []

    def killed(*args):
        calls.append(None)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return real(*args)

    stored = stored_images(tmp_path / "b", in_pixels=True, in_age=True)
    monkeypatch.setattr(step, "optimizer_step", killed)
    with pytest.raises(KeyboardInterrupt):
        fit_stored(stored, AGE, **changes)
    found, _ = fit_stored(stored, AGE, **changes)
    assert len(calls) < 2 * 27  # resumed, not started again
    assert found.metadata_model == expected.metadata_model
    for name, tensor in expected.state_dict.items():
        assert torch.equal(tensor, found.state_dict[name]), name


@pytest.mark.slow
def test_other_metadata_are_another_training(tmp_path):
    """Late fusion does not change the network; concat with other values or dropout does."""
    stored = stored_images(tmp_path, in_pixels=True, in_age=True)
    store, table = stored
    older = SplitTable(table.frame.assign(age=table.frame["age"] ** 2), SPLIT_PROVENANCE, "v1")

    def training(rows=table, metadata=AGE, **changes):
        model, _ = fit_stored((store, rows), metadata, epochs=1, **changes)
        return model.provenance.training

    late = training(fusion="late")
    assert training(older, fusion="late") == late == training(fusion="none")
    concat = training(fusion="concat")
    assert concat != late
    assert training(older, fusion="concat") not in (late, concat)
    assert training(fusion="concat", metadata_dropout=0.7) not in (late, concat)


def test_network_gets_equal_missing_rates():
    """``network_inputs`` encodes the training table, in which the missing rates are equal."""
    from skin_lesions.data.tabular import fit_encoder  # noqa: PLC0415

    train = pd.DataFrame({"label": list("aabb") * 5, "age": [30.0, 60.0, None, 40.0] * 5})
    val = train.assign(age=50.0)
    found = ClinicalMetadata(
        train=train,
        val=val,
        encoder=fit_encoder(train, ["age"], {}),
        predictive_missingness=("age",),
        equalized=True,
    ).network_inputs()
    assert (found.columns, found.train.dtype) == (("age",), np.float32)
    assert (found.train == 0).all(axis=1).tolist() == train["age"].isna().tolist()
    assert found.val.any(axis=1).all()
