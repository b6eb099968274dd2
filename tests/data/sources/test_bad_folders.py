"""Typical errors in folders and metadata tables, tested with the real pipelines."""

import pytest

from skin_lesions.core.errors import InputError
from support.factories import class_folders, corners, encoded, jpeg, table, write_files

STAGES = ["ingest", "audit", "preprocess"]
GOOD = class_folders("mel", "nv", each=10)


@pytest.fixture
def three_stages(kedro_run, tmp_path):
    def run(files=None, policy="grouped", **source):
        folder = write_files(tmp_path / "source", files) if files is not None else tmp_path / "none"
        params = {"kind": "folder", "folder": str(folder)} | {k: str(v) for k, v in source.items()}
        return kedro_run(
            pipelines=STAGES,
            source=params,
            ingest={"stored_image_size": 16},
            train={"image_size": 16},
            split={"policy": policy},
        )

    return run


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, r"source\.folder is not a folder \(.*none\)"),
        ({}, r"No files found in the folder \(source\.folder=.*source\)"),
        ({"1.jpg": jpeg()}, "is in a class folder. Expected train/<class>/image.jpg"),
        (class_folders("mel"), "have only one class .'mel'"),
        ({"mel/a.jpg": b"", "nv/b.jpg": b"no"}, "2 of 2 files cannot be used"),
    ],
    ids=["missing", "empty", "no class folders", "one class", "no image"],
)
def test_unusable_folder_is_rejected_with_the_reason(three_stages, files, message):
    with pytest.raises(InputError, match=message):
        three_stages(files)


@pytest.mark.parametrize(
    ("spelling", "suggestion"), [("Melanoma", "melanoma"), ("melanomas", "melanoma")]
)
def test_misspelled_test_class_is_rejected_with_a_suggestion(three_stages, spelling, suggestion):
    files = class_folders("train/melanoma", "train/nevus", f"test/{spelling}", "test/nevus")
    with pytest.raises(InputError, match=f"{spelling!r}.*did you mean {suggestion!r}"):
        three_stages(files, policy="original")


def test_identical_pixels_with_two_labels_are_reported_and_excluded(three_stages):
    duplicates = {
        "mel/a.png": encoded(corners(), "PNG"),
        "nv/b.png": encoded(corners(), "PNG", compress_level=0),
    }
    study = three_stages(GOOD | duplicates)
    assert sorted(study.table("split_table")["file"]) == sorted(GOOD)
    findings = {f.id: f for f in study.load("audit_findings").findings}
    assert findings["pixel_identical_label_conflicts"].examples == [sorted(duplicates)]


def test_unknown_test_class_is_rejected_without_a_suggestion(three_stages):
    files = class_folders("train/melanoma", "train/nevus", "test/wart", "test/nevus")
    with pytest.raises(InputError, match=r"'wart'.*correct the spelling") as error:
        three_stages(files, policy="original")
    assert "did you mean" not in str(error.value)


def test_class_with_one_image_is_assigned_to_train(three_stages):
    split = three_stages(GOOD | {"wart/1.jpg": jpeg(99)}).table("split_table")
    assert split.set_index("label").loc["wart", "split"] == "train"
    assert set(split["split"]) == {"train", "val", "test"}


def test_unusual_folder_names_and_labels_are_supported_end_to_end(three_stages):
    classes = ("data/Train/日本語", "data/Train/=nv", "data/valid/日本語", "data/valid/=nv")
    files = class_folders(*classes, "data/TEST/日本語", "data/TEST/=nv")
    study = three_stages(files | {"data/readme.txt": b"x"}, policy="original")
    split = study.table("split_table")
    assert split.groupby(["split", "label"]).size().to_dict() == {
        (split, label): 8 for split in ("train", "val", "test") for label in ("日本語", "=nv")
    }


def rows(files, **columns):
    return [{"file": file} | columns for file in files]


def test_metadata_columns_are_joined_and_group_the_files(three_stages, tmp_path):
    lesions = [{"file": f, "lesion_id": f"{n // 2:03}", "age": n} for n, f in enumerate(GOOD)]
    study = three_stages(GOOD, metadata=table(tmp_path / "m.csv", lesions))
    images = study.table("image_table").set_index("file").loc[list(GOOD)]
    assert images["lesion_id"].tolist() == [row["lesion_id"] for row in lesions]
    assert images["age"].tolist() == list(range(20))
    split = study.table("split_table").merge(images[["lesion_id"]], on="file")
    assert split["group_id"].nunique() == 10
    assert split.groupby("lesion_id")["split"].nunique().eq(1).all()


def test_files_without_a_label_in_the_table_are_quarantined(three_stages, tmp_path):
    flat = {f"{i}.jpg": jpeg(i) for i in range(20)}
    labels = [{"image": str(i), "dx": None if i == 3 else ("a", "b")[i % 2]} for i in range(20)]
    study = three_stages(flat, metadata=table(tmp_path / "m.csv", labels), label_column="dx")
    quarantine = study.load("quarantine")
    assert quarantine.to_numpy().tolist() == [
        ["3.jpg", "the metadata contain no label for this file"]
    ]
    assert len(study.table("image_table")) == 19


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["elsewhere/x.jpg"], r"No row of .* contains e.g. 'elsewhere/x.jpg', .* e.g. 'mel/0.jpg'"),
        (["mel/0.jpg", "mel/0.jpg"], r"2 rows of .* match the file 'mel/0.jpg' \(lines 2, 3\)"),
        ([], "has no row with a value in the column 'file'|cannot be parsed"),
    ],
    ids=["no match", "two matches", "no rows"],
)
def test_metadata_that_do_not_match_the_files_are_rejected(three_stages, tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        three_stages(GOOD, metadata=table(tmp_path / "m.csv", rows(names, age=1)))
