import shutil

import pytest
from kedro.io import DatasetError, Version

from skin_lesions.core.errors import InputError
from skin_lesions.datasets import AtomicVersionedDataset, StoredVersionsDataset
from support.report_inputs import two_classes

FILE = {
    "type": "skin_lesions.datasets.TableDataset",
    "table": "skin_lesions.data.tables.PredictionTable",
}


def save(root, version, rows=5):
    table = two_classes().predictions
    path = root / "07_model_output" / "predictions.parquet"
    entry = AtomicVersionedDataset(filepath=str(path), dataset=FILE, version=Version(None, version))
    entry.save(type(table)(table.frame.head(rows), table.provenance))
    return path / version / "predictions.parquet"


def stored(root):
    path = root / "07_model_output" / "predictions.parquet"
    return StoredVersionsDataset(filepath=str(path), dataset=FILE, columns=["file"]).load()


@pytest.fixture
def root(tmp_path):
    for version, rows in (("V1", 1), ("V2", 2)):
        save(tmp_path / "data", version, rows)
    return tmp_path / "data"


def test_versions_are_listed_newest_first_without_incomplete_ones(root):
    (root / "07_model_output" / "predictions.parquet" / "V3").mkdir()
    assert stored(root).versions == ("V2", "V1")
    assert stored(root / "other").versions == ()


def test_version_is_loaded_with_its_version(root):
    found = stored(root).select("V1", "compare.baseline")
    assert (len(found.frame), found.version) == (1, "V1")


def test_file_folder_of_a_version_and_other_data_roots_can_be_selected(root, tmp_path):
    other = save(tmp_path / "other", "V9", rows=3)
    for path in (other, other.parent, other.parents[1], tmp_path / "other"):
        found = stored(root).select(str(path), "compare.baseline")
        assert (len(found.frame), found.version) == (3, "V9")


def test_copied_file_has_its_name_as_version(root, tmp_path):
    copy = shutil.copy(save(tmp_path / "other", "V9", rows=3), tmp_path / "mine.parquet")
    found = stored(root).select(str(copy), "compare.baseline")
    assert (len(found.frame), found.version) == (3, "mine.parquet")


def test_unknown_version_and_missing_path_are_reported_with_the_parameter(root, tmp_path):
    message = r"compare.baseline \(V7\) is not a version of predictions. Available: V2, V1"
    with pytest.raises(InputError, match=message):
        stored(root).select("V7", "compare.baseline")
    with pytest.raises(InputError, match="compare.candidate .* does not exist"):
        stored(root).select(str(tmp_path / "x.parquet"), "compare.candidate")


def test_damaged_file_is_reported_with_its_path(root, tmp_path):
    damaged = tmp_path / "mine.parquet"
    damaged.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="mine.parquet cannot be read"):
        stored(root).select(str(damaged), "compare.baseline")


def test_folder_without_predictions_is_reported(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty contains no predictions.parquet. Expected"):
        stored(root).select(str(tmp_path / "empty"), "compare.baseline")


def test_it_exists_and_cannot_be_saved(root):
    dataset = StoredVersionsDataset(filepath=str(root / "x" / "y.parquet"), dataset=FILE)
    assert dataset.exists()
    with pytest.raises(DatasetError, match="saved by the data set of this name"):
        dataset.save("predictions")
