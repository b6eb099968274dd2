"""A bundle is a source of initial weights, with the same checks as its model file."""

import json

import pandas as pd
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.models.bundle_files import write_checksums
from skin_lesions.models.bundle_weights import load_bundle_content
from skin_lesions.models.model_file import model_from_content
from skin_lesions.models.networks import create_network, resolve_initial_weights
from skin_lesions.models.weights_origin import WeightsOrigin
from skin_lesions.training.weights_leakage import check_weights_leakage
from support.bundles import bundle_of, exportable_model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "bundle"
    before = WeightsOrigin(weights="first.pth", train_image_ids=("earlier",))
    model = exportable_model(initial_weights=before)
    write_bundle(bundle_of(model, network=b"not used"), folder)
    return folder, model


def initial_network(weights, classes=("nv", "mel"), **changes):
    values = {"architecture": "resnet18", "weights_sha256": None, "image_sizes": [64], "seed": 1}
    return create_network(weights=str(weights), classes=classes, **(values | changes))


def test_bundle_contains_the_complete_model(written):
    folder, model = written
    content = load_bundle_content(folder)
    found = model_from_content(content, folder)
    assert found.model_dump() == model.model_dump()
    assert all(torch.equal(value, model.state_dict[k]) for k, value in found.state_dict.items())


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_training_starts_from_the_weights_of_a_bundle(written, name):
    folder, model = written
    initial = initial_network(folder / name)
    assert torch.equal(initial.network.fc.weight, model.state_dict["fc.weight"])
    assert initial.mean == model.preprocessing.mean
    assert initial.origin.head == "loaded"
    assert initial.origin.weights == (name or "bundle")
    assert initial.origin.train_image_ids == ("earlier", "image0", "image1")
    assert initial.origin.val_image_ids == ("image2",)


def test_head_for_other_classes_is_not_loaded(written):
    folder, model = written
    initial = initial_network(folder, classes=("mel", "nv"))
    assert initial.origin.head == "new"
    assert torch.equal(initial.network.conv1.weight, model.state_dict["conv1.weight"])


def test_test_image_that_the_bundle_was_trained_on_is_leaked(written):
    files = pd.DataFrame({"file": ["x.png"], "image_id": ["image1"], "group_id": ["g"]})
    split = files[["file", "image_id"]].assign(split="test")
    groups = files.assign(pixel_id=files["image_id"])
    with pytest.raises(InputError, match=r"trained or selected on 1 of 1 test images"):
        check_weights_leakage(
            initial_network(written[0]).origin,
            pd.concat([split, split.assign(file="y.png", image_id="y", split="val")]),
            pd.concat([groups, groups.assign(file="y.png", image_id="y", group_id="h")]),
            allow=False,
        )


def test_checksum_is_that_of_the_tensors(written):
    folder, _ = written
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    [expected] = [line.split()[0] for line in lines if line.endswith("model.safetensors")]
    values = {"architecture": "resnet18", "weights": str(folder)}
    file = resolve_initial_weights(**values, weights_sha256=expected)
    assert (file.path, file.sha256) == (folder / "model.safetensors", expected)
    with pytest.raises(InputError, match="is not the expected file"):
        resolve_initial_weights(**values, weights_sha256="0" * 64)


@pytest.fixture
def copy(written, tmp_path):
    for path in written[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_changed_file_of_a_bundle_is_rejected(copy):
    (copy / "split_manifest.csv").write_text("image_id,split\n")
    with pytest.raises(InputError, match=r"split_manifest.csv has changed"):
        initial_network(copy)


def test_changed_image_ids_are_noticed_with_new_checksums_of_the_files(copy):
    """The list of checksums can be written again, but the checksum of the model has the ids."""
    (copy / "split_manifest.csv").write_text("image_id,split\n")
    write_checksums(copy)
    with pytest.raises(InputError, match=r"does not match its checksum"):
        initial_network(copy)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", "[1]"),
        ("model.json", "{"),
        ("split_manifest.csv", "a,b,c\n"),
        ("model.safetensors", "x"),
    ],
)
def test_damaged_file_with_a_matching_checksum_is_rejected(copy, name, content):
    (copy / name).write_text(content)
    write_checksums(copy)
    with pytest.raises(InputError, match=r"is not a model bundle|cannot be read"):
        initial_network(copy)


def test_bundle_of_another_architecture_is_rejected(written):
    with pytest.raises(InputError, match=r"another architecture \(resnet18, not resnet34\)"):
        initial_network(written[0], architecture="resnet34")


def test_folder_that_is_no_bundle_is_rejected(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="or the folder of a model bundle"):
        initial_network(tmp_path)
