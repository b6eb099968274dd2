import pickle

import pandas as pd
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.models.model_file import (
    check_model_matches_data,
    describe_model,
    load_model,
    load_network,
)
from skin_lesions.models.networks import build_network


@pytest.fixture
def model():
    return {
        "format": 1,
        "architecture": "resnet18",
        "classes": ["nv", "mel"],
        "preprocessing": {},
        "test_time_augmentation": "none",
        "calibration": {"temperature": 1.0},
        "state_dict": build_network("resnet18", 2).state_dict(),
    }


def saved(content, path):
    torch.save(content, path)
    return path


def test_loaded_model_equals_the_saved_model(model, tmp_path):
    loaded = load_model(saved(model, tmp_path / "m.pth"))
    torch.testing.assert_close(loaded["state_dict"], model["state_dict"], rtol=0, atol=0)
    assert loaded["classes"] == ["nv", "mel"]


def test_malicious_pickle_is_rejected_and_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    path = tmp_path / "m.pth"
    for write in (
        lambda: torch.save(Malicious(), path),
        lambda: path.write_bytes(pickle.dumps(Malicious())),
    ):
        write()
        with pytest.raises(
            InputError, match="is not a readable PyTorch file.*would run code.*Train a model again"
        ):
            load_model(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("length", [0, 10, 5000])
def test_error_of_a_truncated_file_has_its_path(model, tmp_path, length):
    path = saved(model, tmp_path / "m.pth")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"m\.pth"):
        load_model(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"format": 99}])
def test_file_that_is_not_a_model_is_rejected(content, tmp_path):
    with pytest.raises(InputError, match="is not a model file of this project"):
        load_model(saved(content, tmp_path / "m.pth"))


def test_weights_of_another_shape_are_rejected(model):
    with pytest.raises(InputError, match=r"do not match resnet18.*fc\.weight"):
        load_network({**model, "classes": ["a", "b", "c"]})


def test_description_contains_everything_except_the_weights(model):
    assert "state_dict" not in describe_model(model)
    assert '"classes": ["nv", "mel"]' in describe_model(model)


@pytest.fixture
def study_tables():
    raw = pd.DataFrame({"file": ["a", "b"], "image_id": ["0", "1"], "label": ["nv", "mel"]})
    split = raw.assign(split=["train", "test"], group_id=["g0", "g1"])
    tables = {"split_table": split, "image_table": raw.copy(), "raw_table": raw.copy()}
    for table in tables.values():
        table.attrs["version"] = "V2"
    return tables


def model_from(tables):
    return {
        "provenance": {
            "version": "V9",
            "split_fingerprint": split_fingerprint(tables["split_table"]),
            "data_fingerprint": data_fingerprint(tables["image_table"]),
            "split_table_version": "V1",
            "image_table_version": "V1",
            "raw_images_version": "V1",
        }
    }


def test_equal_content_matches_regardless_of_its_version(study_tables):
    check_model_matches_data(model_from(study_tables), **study_tables)


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("split_table", "split", "split_table V1, not on that of V2"),
        ("image_table", "label", "image_table V1, not on those of V2"),
        ("raw_table", "image_id", "not in raw_images V2. They come from version V1"),
    ],
)
def test_other_content_is_rejected_with_both_versions_and_the_fix(
    study_tables, name, column, message
):
    model = model_from(study_tables)
    changed = study_tables[name].assign(**{column: ["x", "y"]})
    changed.attrs = {"version": "V2"}
    with pytest.raises(InputError) as error:
        check_model_matches_data(model, **(study_tables | {name: changed}))
    assert message in str(error.value)
    assert "--load-versions model:V9,split_table:V1,image_table:V1,raw_images:V1" in str(
        error.value
    )
