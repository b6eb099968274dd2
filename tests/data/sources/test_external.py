from pathlib import Path

import pandas as pd
import pytest

from skin_lesions.config.external import External, external_name
from skin_lesions.core.errors import InputError
from skin_lesions.data.label_mapping import known_class
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources.external import check_external, open_external
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from skin_lesions.data.sources.synthetic.clinic import (
    COPIES,
    clinic_table,
    render_clinic_file,
    with_other_camera,
)
from support.factories import class_folders, jpeg, write_files

TRAINING = Origin(kind="demo", seed=5)


def external(**given):
    unset = dict.fromkeys(
        [
            *("name", "folder", "metadata", "metadata_key", "label_column", "label_map"),
            "filename_pattern",
        ]
    )
    values = {"kind": "folder", "follow_symlinks": False, "demo": {"seed": 6}, **unset, **given}
    return External.model_validate(
        {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    )


def test_folder_is_read_like_a_source(tmp_path):
    folder = write_files(tmp_path / "hospital_b", class_folders("nevus", "melanoma", each=2))
    files = open_external(external(folder=folder), TRAINING)
    assert files.table["label"].tolist() == ["melanoma"] * 2 + ["nevus"] * 2
    assert set(files.table["source"]) == {"hospital_b"}
    assert (files.origin.kind, files.origin.folder) == ("folder", "hospital_b")


def test_metadata_give_labels_and_columns(tmp_path):
    folder = write_files(tmp_path / "flat", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    metadata = tmp_path / "table.csv"
    metadata.write_text("image,dx,age\na,nv,40\nb,mel,60\n")
    files = open_external(external(folder=folder, metadata=metadata, label_column="dx"), TRAINING)
    assert files.table["label"].tolist() == ["nv", "mel"]
    assert files.table["age"].tolist() == [40, 60]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "external.folder is not set.*--params external.folder="),
        ({"folder": "/nowhere"}, "external.folder is not a folder"),
    ],
)
def test_errors_name_the_parameters_of_external(tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        check_external(external(**given), tmp_path)


def test_warnings_about_external_folders_name_no_parameter_of_source(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = write_files(tmp_path / "b", {"part_1/a1.jpg": jpeg(1), "part_2/a2.jpg": jpeg(2)})
    metadata = tmp_path / "table.csv"
    metadata.write_text("image,dx\na1,nv\na2,mel\n")
    settings = external(folder=folder, metadata=metadata, filename_pattern="([0-9]+)")
    open_external(settings, TRAINING)
    assert "set label_column to dx" in caplog.text
    assert "filename_pattern: 2 of 2" in caplog.text
    assert "source." not in caplog.text


def test_folder_inside_the_data_root_is_rejected(tmp_path):
    folder = write_files(tmp_path / "data/images", class_folders("nevus", each=1))
    with pytest.raises(InputError, match=r"external.folder .* is inside the data root"):
        check_external(external(folder=folder), tmp_path / "data")


def test_demo_has_other_names_of_known_classes_and_copies_of_the_training():
    files = open_external(external(kind="demo"), TRAINING)
    classes = synthetic_table(5)["label"].unique().tolist()
    assert not set(files.table["label"]) & set(classes)
    assert None not in {known_class(label, classes) for label in files.table["label"]}
    data = {files.read(file) for file in files.table["file"]}
    assert len(data) == len(files.table)
    training = {render_file(file, 5) for file in synthetic_table(5)["file"]}
    assert len(data & training) == COPIES
    assert files.origin == Origin(kind="demo", seed=6)


def test_demo_of_another_model_has_no_copies():
    origin = Origin(kind="folder", folder="mine")
    files = open_external(external(kind="demo"), origin)
    assert len(files.table) > 0


def test_demo_is_deterministic_and_has_patients_of_its_own():
    first, second = clinic_table(6, 5), clinic_table(6, 5)
    pd.testing.assert_frame_equal(first, second)
    file = first["file"].iloc[0]
    assert render_clinic_file(file, 6, 5) == render_clinic_file(file, 6, 5)
    assert render_clinic_file(file, 6, 5) != with_other_camera(render_clinic_file(file, 6, 5))
    with pytest.raises(KeyError):
        render_clinic_file("none.jpg", 6, 5)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"folder": "/data/hospital_b"}, "hospital_b"),
        ({"folder": "/data/hospital b", "name": "b-2.1"}, "b-2.1"),
        ({"folder": "/data/x/"}, "x"),
        ({"kind": "demo"}, "demo"),
        ({"kind": "demo", "name": "second"}, "second"),
        ({}, "unnamed"),
        ({"name": 7}, "7"),
    ],
)
def test_results_are_named_after_the_folder_unless_a_name_is_given(given, name):
    values = {"kind": "folder", "folder": None, "name": None}
    assert external_name(values | given) == name


@pytest.mark.parametrize("name", ["..", ".", "../x", "a/b", "a b", "", "x.", "é", "a" * 65, "a\n"])
def test_unsafe_name_of_a_folder_is_rejected(name):
    with pytest.raises(InputError, match="cannot be the name of a folder of results"):
        external_name({"kind": "folder", "folder": None, "name": name})
    with pytest.raises(InputError, match="The name of external.folder"):
        external_name({"kind": "folder", "folder": "/data/a b", "name": None})
