import json
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from skin_lesions.core.errors import InputError
from skin_lesions.data.provenance import ImageProvenance, Origin
from skin_lesions.data.tables import ImageTable
from skin_lesions.datasets import TableDataset

TABLE = ImageTable(
    pd.DataFrame({"file": ["a", "b"], "width": [3, 4]}),
    ImageProvenance(
        origin=Origin(kind="folder", folder="/data/日本", license_notes=("CC BY 4.0.",)),
        raw_images_version="V1",
    ),
)


def dataset(tmp_path, table="ImageTable"):
    return TableDataset(
        filepath=str(tmp_path / "t.parquet"), table=f"skin_lesions.data.tables.{table}"
    )


def test_table_and_provenance_are_loaded_as_saved(tmp_path):
    dataset(tmp_path).save(TABLE)
    loaded = dataset(tmp_path).load()
    pd.testing.assert_frame_equal(loaded.frame, TABLE.frame)
    assert loaded.provenance == TABLE.provenance
    assert loaded.frame.attrs == {}


def test_other_programs_read_the_table_and_its_provenance(tmp_path):
    dataset(tmp_path).save(TABLE)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), TABLE.frame)
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    assert b'"raw_images_version":"V1"' in metadata[b"skin_lesions.provenance"]


@pytest.mark.parametrize("table", ["ImageTable", "SplitTable"])
def test_table_without_the_expected_provenance_is_an_error_with_a_fix(tmp_path, table):
    if table == "SplitTable":
        dataset(tmp_path).save(TABLE)
    else:
        TABLE.frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DatasetError) as error:
        dataset(tmp_path, table).load()
    assert isinstance(error.value.__cause__, InputError)
    assert "kedro run --pipelines ingest,audit,preprocess" in str(error.value.__cause__)


def test_preview_shows_the_first_rows(tmp_path):
    dataset(tmp_path).save(TABLE)
    assert dataset(tmp_path).preview(nrows=1)["data"] == [["a", 3]]


def test_preview_of_a_column_of_lists_is_valid_json(tmp_path):
    """Parquet returns lists as arrays."""
    frame = pd.DataFrame({"file": ["a", "b"], "conformal_set": [["x", "y"], []]})
    dataset(tmp_path).save(replace(TABLE, frame=frame))
    preview = dataset(tmp_path).preview()
    assert json.loads(json.dumps(preview["data"])) == [["a", ["x", "y"]], ["b", []]]
