import inspect
import json

import pandas as pd
import pytest
import torch
from kedro.io import DatasetError, Version
from kedro_datasets._typing import ImagePreview, JSONPreview, TablePreview
from matplotlib.figure import Figure

from skin_lesions.datasets import AtomicVersionedDataset, FigureDataset, ModelDataset

PARQUET = {"type": "pandas.ParquetDataset"}
JSON = {"type": "json.JSONDataset"}
FIGURE = {"type": "skin_lesions.datasets.FigureDataset"}
TABLE = pd.DataFrame({"file": ["a", "b"]})


def entry(path, dataset=PARQUET, load=None, save=None):
    return AtomicVersionedDataset(filepath=str(path), dataset=dataset, version=Version(load, save))


def test_newest_version_is_loaded_unless_another_is_requested(tmp_path):
    path = tmp_path / "t.parquet"
    for version, n in (("V1", 1), ("V2", 2)):
        entry(path, save=version).save(TABLE.head(n))
    assert len(entry(path).load()) == 2
    assert len(entry(path, load="V1").load()) == 1
    assert (path / "V1" / "t.parquet").is_file()


def test_table_is_loaded_with_its_version_and_attributes(tmp_path):
    table = TABLE.copy()
    table.attrs = {"made_from": {"raw": "V0"}}
    entry(tmp_path / "t.parquet", save="V1").save(table)
    loaded = entry(tmp_path / "t.parquet").load()
    assert loaded.attrs == {"made_from": {"raw": "V0"}, "version": "V1"}


def test_dict_with_provenance_is_loaded_with_its_version(tmp_path):
    entry(tmp_path / "m.json", JSON, save="V1").save({"provenance": {}})
    assert entry(tmp_path / "m.json", JSON).load() == {"provenance": {"version": "V1"}}


def test_failed_write_leaves_no_version(tmp_path):
    path = tmp_path / "m.json"
    entry(path, JSON, save="V1").save({"good": 1})
    with pytest.raises(DatasetError):
        entry(path, JSON, save="V2").save({"half": [1, 2, object()]})
    assert entry(path).list_versions(full_path=False) == ["V1"]
    assert entry(path, JSON).load() == {"good": 1}
    assert [p.name for p in (path / "V2").iterdir()] == []


def test_temporary_file_of_a_killed_writer_is_not_a_version(tmp_path):
    path = tmp_path / "m.json"
    entry(path, JSON, save="V1").save({"good": 1})
    (path / "V2").mkdir()
    (path / "V2" / ".1a2b3c4d.partial.json").write_text('{"half":')
    assert entry(path, JSON).load() == {"good": 1}


def test_version_is_never_overwritten(tmp_path):
    entry(tmp_path / "m.json", JSON, save="V1").save({})
    with pytest.raises(DatasetError, match="must not exist"):
        entry(tmp_path / "m.json", JSON, save="V1").save({})


@pytest.mark.parametrize(
    ("dataset", "data", "kind"),
    [
        (PARQUET, TABLE, TablePreview),
        (JSON, {"a": 1}, JSONPreview),
        (FIGURE, Figure(), ImagePreview),
    ],
)
def test_previews_have_a_return_annotation_and_show_the_loaded_version(
    tmp_path, dataset, data, kind
):
    file = entry(tmp_path / "x", dataset, save="V1")
    file.save(data)
    assert inspect.signature(file.preview, eval_str=True).return_annotation is kind
    assert file.preview()


def test_equal_figures_give_equal_files(tmp_path):
    contents = []
    for name in ("a.png", "b.png"):
        figure = Figure()
        figure.subplots().plot([1, 2, 3])
        FigureDataset(filepath=str(tmp_path / name)).save(figure)
        contents.append(FigureDataset(filepath=str(tmp_path / name)).load())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG")


def test_model_preview_has_no_weights(tmp_path):
    keys = (
        "architecture",
        "classes",
        "preprocessing",
        "test_time_augmentation",
        "calibration",
    )
    model = {"format": 1, "state_dict": {"w": torch.zeros(3)}} | dict.fromkeys(keys, "x")
    dataset = ModelDataset(filepath=str(tmp_path / "m.pth"))
    assert not dataset.exists()
    dataset.save(model)
    assert set(json.loads(dataset.preview())) == {"format", *keys}
    assert dataset.exists()
