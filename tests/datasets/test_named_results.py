import pytest
from kedro.io import DatasetError

from skin_lesions.datasets import NamedResultsDataset, ObjectStoreDataset

CONFIG = {"type": "text.TextDataset"}


def dataset(folder):
    return NamedResultsDataset(folder=str(folder), file="08_reporting/results.txt", dataset=CONFIG)


def save(folder, name, version, text):
    path = folder / name / "08_reporting/results.txt" / version / "results.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_each_folder_with_a_version_is_a_name(tmp_path):
    save(tmp_path, "b", "v1", "old")
    save(tmp_path, "b", "v2", "new")
    save(tmp_path, "a", "v1", "other")
    (tmp_path / "empty/08_reporting/results.txt/v1").mkdir(parents=True)
    (tmp_path / "file").touch()
    found = dataset(tmp_path).load().by_name
    assert list(found) == ["a", "b"]
    assert found["b"].versions == ("v2", "v1")
    assert found["b"].load_version("v2") == "new"


def test_missing_folder_has_no_names(tmp_path):
    assert dataset(tmp_path / "none").load().by_name == {}


@pytest.mark.parametrize("make", [dataset, lambda folder: ObjectStoreDataset(filepath=str(folder))])
def test_nothing_is_saved(tmp_path, make):
    assert make(tmp_path).exists()
    with pytest.raises(DatasetError, match=r"saved by|saved before|are saved|is saved"):
        make(tmp_path).save("x")
    assert list(tmp_path.iterdir()) == []
