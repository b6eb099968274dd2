import pickle

import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.models.inference import load_network
from skin_lesions.models.model_file import FORMAT, read_model, write_model
from support.models import trained_model


@pytest.fixture
def model():
    return trained_model()


@pytest.fixture
def path(model, tmp_path):
    write_model(model, tmp_path / "m.pth")
    return tmp_path / "m.pth"


def content(path):
    return torch.load(path, weights_only=True)


def test_read_model_equals_the_written_model(model, path):
    loaded = read_model(path)
    torch.testing.assert_close(loaded.state_dict, model.state_dict, rtol=0, atol=0)
    assert loaded.model_dump() == model.model_dump()


def test_file_is_a_plain_dict_with_format_checksum_and_the_images_of_the_training(path):
    file = content(path)
    assert file["format"] == FORMAT
    assert len(file["checksum"]) == 64
    assert file["classes"] == ["nv", "mel"]
    assert (file["train_image_ids"], file["val_image_ids"]) == (["image0", "image1"], ["image2"])
    assert file["postprocessing"]["calibration"]["temperature"] == 1.5


def test_equal_models_have_equal_checksums(model, path, tmp_path):
    write_model(model, tmp_path / "again.pth")
    assert content(path)["checksum"] == content(tmp_path / "again.pth")["checksum"]


def change_weight(file):
    file["state_dict"]["fc.bias"] += 1e-6


def rename_tensor(file):
    file["state_dict"]["fc.bias 2"] = file["state_dict"].pop("fc.bias")


def change_class(file):
    file["classes"] = ["mel", "nv"]


def remove_image(file):
    file["train_image_ids"].pop()


def remove_checksum(file):
    del file["checksum"]


@pytest.mark.parametrize(
    "change", [change_weight, rename_tensor, change_class, remove_image, remove_checksum]
)
def test_changed_content_is_rejected(path, change):
    file = content(path)
    change(file)
    torch.save(file, path)
    with pytest.raises(InputError, match=r"m\.pth has changed since it was saved"):
        read_model(path)


@pytest.mark.parametrize("other", [1, FORMAT + 1, "2"])
def test_another_format_is_rejected_with_both_formats(path, other):
    torch.save(content(path) | {"format": other}, path)
    message = f"has format {other} of the model file. Expected format {FORMAT}"
    with pytest.raises(InputError, match=message):
        read_model(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # of torch
def test_malicious_pickle_is_rejected_and_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    path = tmp_path / "m.pth"
    for write, problem in (
        (lambda: torch.save(Malicious(), path), "loading these could execute code"),
        (lambda: path.write_bytes(pickle.dumps(Malicious())), "is not a readable PyTorch file"),
    ):
        write()
        with pytest.raises(InputError, match=f"{problem}.*Train a model again"):
            read_model(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("length", [0, 10, 5000])
def test_error_of_a_truncated_file_has_its_path(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"m\.pth"):
        read_model(path)


@pytest.mark.parametrize("other", [{"state_dict": {}}, [1, 2], {"format": FORMAT}])
def test_file_that_is_not_a_model_is_rejected(other, tmp_path):
    torch.save(other, tmp_path / "m.pth")
    with pytest.raises(InputError, match="is not a model file of this project"):
        read_model(tmp_path / "m.pth")


def test_weights_of_another_shape_are_rejected():
    with pytest.raises(InputError, match=r"do not match resnet18.*fc\.\w+"):
        load_network(trained_model(classes=("a", "b", "c")))
