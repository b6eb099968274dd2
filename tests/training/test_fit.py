"""Metadata of the initial weights reaches the model file and every prediction."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.model_file import write_model
from skin_lesions.models.weights_origin import WeightsOrigin
from support.factories import class_folders, write_files
from support.models import trained_model
from support.training import calibrate_stored, fit_stored, predict_stored

pytestmark = pytest.mark.slow


def earlier_model(path, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)):
    preprocessing = Preprocessing("stretch", 64, 32, mean, std)
    write_model(trained_model(classes=("green", "red"), preprocessing=preprocessing), path)
    return str(path)


def test_model_records_its_initial_weights_and_uses_their_normalization(stored, tmp_path):
    weights = earlier_model(tmp_path / "earlier.pth")
    model, _ = fit_stored(stored, epochs=1, weights=weights)
    assert model.preprocessing.mean == (0.1, 0.2, 0.3)
    assert model.preprocessing.std == (0.4, 0.5, 0.6)
    sha256 = hashlib.sha256((tmp_path / "earlier.pth").read_bytes()).hexdigest()
    assert model.initial_weights == WeightsOrigin(
        weights="earlier.pth",
        file="earlier.pth",
        sha256=sha256,
        head="loaded",
        train_image_ids=("image0", "image1"),
        val_image_ids=("image2",),
    )


def test_model_lists_its_training_and_validation_images(stored):
    model, _ = fit_stored(stored, epochs=1)
    by_split = stored[1].frame.groupby("split")["image_id"].apply(sorted)
    assert list(model.train_image_ids) == by_split["train"]
    assert list(model.val_image_ids) == by_split["val"]


def test_training_and_prediction_use_the_normalization_of_the_weights(stored, tmp_path):
    """Other normalization gives the network other batch statistics."""
    running_means = []
    for mean in ((0.0, 0.0, 0.0), (9.0, 9.0, 9.0)):
        weights = earlier_model(tmp_path / "earlier.pth", mean=mean, std=(1.0, 1.0, 1.0))
        model, _ = fit_stored(stored, epochs=1, weights=weights, optimizer={"learning_rate": 1e-9})
        calibrated = calibrate_stored(model, stored)
        other = replace(calibrated.preprocessing, mean=(5.0, 5.0, 5.0))
        shifted = calibrated.model_copy(update={"preprocessing": other})
        right, wrong = (predict_stored(m, stored)["p_red"] for m in (calibrated, shifted))
        assert not np.allclose(right, wrong)
        running_means.append(model.state_dict["bn1.running_mean"])
    assert not torch.allclose(*running_means)


def test_published_weights_reach_the_model_file(stored, efficientnet_lite0):
    pretrained = {
        "architecture": "timm/tf_efficientnet_lite0",
        "weights": str(efficientnet_lite0),
    }
    model, _ = fit_stored(stored, epochs=1, **pretrained, optimizer={"learning_rate": 1e-9})
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)
    sha256 = hashlib.sha256(efficientnet_lite0.read_bytes()).hexdigest()
    assert model.initial_weights == WeightsOrigin(
        weights="lite0.pth", file="lite0.pth", sha256=sha256, head="new"
    )
    published = torch.load(efficientnet_lite0, weights_only=True)
    trained = model.state_dict["blocks.6.0.conv_pwl.weight"]
    torch.testing.assert_close(trained, published["blocks.6.0.conv_pwl.weight"])
    predictions = predict_stored(calibrate_stored(model, stored), stored)
    assert np.allclose(predictions[["p_green", "p_red"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "/nowhere/a.pth"}, "there is no file /nowhere/a.pth"),
        ({"architecture": "resnet17"}, "did you mean"),
    ],
)
def test_missing_initial_weights_stop_the_run_before_images_are_read(study, changes, message):
    new_study = study(train={"device": "cpu", **changes})
    with pytest.raises(InputError, match=message):
        new_study.run()
    assert not list(new_study.data_root.glob("0*"))


def test_runs_without_training_need_no_weights(study, tmp_path):
    folder = write_files(tmp_path / "source", class_folders("mel", "nv"))
    source = {"kind": "folder", "folder": str(folder)}
    new_study = study(train={"weights": "/nowhere/a.pth"}, source=source)
    new_study.run("ingest")
    assert new_study.versions("raw_images")
