import inspect
import json

import pandas as pd
import pytest
from kedro.io import DatasetError, Version
from matplotlib.figure import Figure

from skin_lesions.data.provenance import ImageProvenance, Origin
from skin_lesions.data.tables import ImageTable
from skin_lesions.datasets import AtomicVersionedDataset, FigureDataset, ModelDataset
from skin_lesions.datasets.previews import ImagePreview, JSONPreview, TablePreview
from skin_lesions.reporting.figures.drawn import DrawnFigure, figure_versions
from support.models import trained_model

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


def test_versioned_data_are_loaded_with_their_version(tmp_path):
    file = {
        "type": "skin_lesions.datasets.TableDataset",
        "table": "skin_lesions.data.tables.ImageTable",
    }
    provenance = ImageProvenance(origin=Origin(kind="demo", seed=1), raw_images_version="V0")
    for version in ("V1", "V2"):
        entry(tmp_path / "t", file, save=version).save(ImageTable(TABLE, provenance))
    assert entry(tmp_path / "t", file).load().version == "V2"
    assert entry(tmp_path / "t", file, load="V1").load().version == "V1"


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
        (FIGURE, DrawnFigure(Figure(), {}), ImagePreview),
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
        FigureDataset(filepath=str(tmp_path / name)).save(DrawnFigure(figure, {"metrics": "V1"}))
        contents.append(FigureDataset(filepath=str(tmp_path / name)).load())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG")
    assert figure_versions(contents[0]) == {"metrics": "V1"}


def test_model_preview_has_neither_weights_nor_image_ids(tmp_path):
    dataset = ModelDataset(filepath=str(tmp_path / "m.pth"))
    assert not dataset.exists()
    dataset.save(trained_model())
    preview = json.loads(dataset.preview())
    assert preview["architecture"] == "resnet18"
    assert not preview.keys() & {"state_dict", "train_image_ids", "val_image_ids"}
    assert dataset.exists()


@pytest.mark.parametrize("folder", ["[a]", "a[1-9]*?"])
def test_versions_are_found_in_a_folder_with_special_characters(tmp_path, folder):
    """The glob module would read them as a pattern."""
    path = tmp_path / folder / "t.parquet"
    entry(path, save="V1").save(TABLE)
    assert entry(path).list_versions(full_path=False) == ["V1"]
    assert len(entry(path).load()) == 2
