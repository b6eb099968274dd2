from pathlib import Path

import pytest

from skin_lesions.data.provenance import Origin, path_hash
from support.factories import source

FOLDER = Origin(
    kind="folder",
    folder="/d",
    folder_hash=path_hash(Path("/d")),
    metadata=("/m.csv",),
    label_column="dx",
)


def test_parameters_that_are_not_set_are_not_compared():
    assert FOLDER.differences(source(), given=()) == {}
    kaggle = Origin(kind="kaggle", dataset="c/d", version=3)
    assert kaggle.differences(source(kind="kaggle"), given=()) == {}
    assert Origin(kind="demo", seed=7).differences(source(kind="demo"), given=()) == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"folder": "/e"}, {"source.folder": ("d", "/e")}),
        ({"folder": "/x/d"}, {"source.folder": ("d", "/x/d")}),
        ({"metadata": "/n.csv"}, {"source.metadata": (("m.csv",), ("n.csv",))}),
        ({"label_column": "label"}, {"source.label_column": ("dx", "label")}),
        ({"metadata_key": "name"}, {"source.metadata_key": (None, "name")}),
        ({"filename_pattern": "^(P)"}, {"source.filename_pattern": (None, "^(P)")}),
        ({"folder": "/d", "metadata": "/m.csv", "label_column": "dx"}, {}),
        ({"kind": "demo", "folder": "/e"}, {"source.kind": ("folder", "demo")}),
    ],
)
def test_differences_name_the_parameter_and_both_values(values, expected):
    assert FOLDER.differences(source(**values), given=()) == expected


def test_parameters_with_defaults_are_compared_only_if_they_are_given():
    other = Origin(kind="demo", seed=7)
    assert other.differences(source(kind="demo"), given=("demo.seed",)) == {
        "source.demo.seed": (7, 0)
    }
    kaggle = Origin(kind="kaggle", dataset="c/d", version=3)
    expected = {"source.kaggle.dataset": ("c/d", "nobody/nothing")}
    assert kaggle.differences(source(kind="kaggle"), given=("kaggle.dataset",)) == expected


def test_paths_are_compared_after_links_are_followed(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    images = tmp_path / "images"
    origin = Origin(kind="folder", folder=str(images), folder_hash=path_hash(images))
    assert origin.differences(source(folder=str(tmp_path / "link")), given=()) == {}
