"""Trainings that would fail are rejected before the images are read."""

import hashlib
import sys

import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.models.networks import build_network
from skin_lesions.models.weights import WeightsFile
from skin_lesions.training.preflight import check_training_setup
from support.recipes import recipe


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"weights": "/no/such.pth"}, "there is no file /no/such.pth"),
        ({"architecture": "resnet81"}, "did you mean resnet18"),
        (
            {"architecture": "vit_b_32", "image_size": 224, "progressive_resizing_start": 0.7},
            "does not accept images of 160 x 160",
        ),
        (
            {
                "architecture": "vit_b_32",
                "image_size": 224,
                "progressive_resizing_start": 1,
                "eval_size_ratio": 1.14,
            },
            "does not accept images of 256 x 256",
        ),
        ({"device": "cuda"}, "train.device=cuda is not available on this machine"),
        ({"launcher": "local", "num_processes": 40}, "too small for 40 processes"),
        ({"launcher": "ray"}, "pip install .*ray"),
    ],
    ids=str,
)
def test_impossible_training_is_rejected_before_images_are_read(study, monkeypatch, train, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "ray", None)
    new_study = study(train=train)
    with pytest.raises(InputError, match=message):
        new_study.run()
    assert not list(new_study.data_root.rglob("*"))


def test_slow_precision_is_reported_before_images_are_read(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_training_setup(recipe(device="cpu", precision="float16"))
    assert "train.precision=float16 may be slower than float32 on this cpu" in caplog.text


def test_weights_of_another_network_are_rejected_before_images_are_read(study, tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "weights.pth")
    new_study = study(train={"weights": str(tmp_path / "weights.pth")})
    with pytest.raises(InputError, match="contains no weights of resnet18"):
        new_study.run()
    assert not list(new_study.data_root.rglob("*"))


def test_missing_folder_is_reported_before_weights_are_searched(study, tmp_path):
    """Weights may have to be downloaded."""
    source = {"kind": "folder", "folder": str(tmp_path / "nowhere")}
    with pytest.raises(InputError, match=r"source\.folder is not a folder \(.*nowhere\)"):
        study(source=source, train={"weights": "/no/such.pth"}).run()


@pytest.mark.parametrize("kind", ["folder", "kaggle"])
def test_missing_metadata_is_reported_before_weights_are_searched(study, tmp_path, kind):
    images = tmp_path / "images"
    images.mkdir()
    folder = {"folder": str(images)} if kind == "folder" else {}
    source = {"kind": kind, "metadata": str(tmp_path / "nowhere.csv")} | folder
    with pytest.raises(InputError, match=r"Metadata table cannot be opened .*nowhere\.csv"):
        study(source=source, train={"weights": "/no/such.pth"}).run()


def test_runs_without_training_do_not_check_the_device(study):
    new_study = study(train={"device": "cuda"})
    new_study.run("ingest")
    assert new_study.versions("image_table")


def test_checked_weights_file_is_returned(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(build_network("resnet18", 2).state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert check_training_setup(recipe(weights=str(path))) == WeightsFile(path, sha256)
    assert check_training_setup(recipe(weights="none")) is None
