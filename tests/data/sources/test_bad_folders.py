"""Folders and tables as people have them, through the real pipelines."""

import pytest

from skin_lesions.core.errors import InputError
from support.factories import class_folders, corners, encoded, jpeg, table, written

STAGES = ["ingest", "audit", "preprocess"]
GOOD = class_folders("mel", "nv", each=10)


@pytest.fixture
def three_stages(kedro_run, tmp_path):
    def run(files=None, policy="grouped", **source):
        folder = written(tmp_path / "source", files) if files is not None else tmp_path / "none"
        given = {"kind": "folder", "folder": str(folder)} | {k: str(v) for k, v in source.items()}
        return kedro_run(
            pipelines=STAGES,
            source=given,
            ingest={"stored_image_size": 16},
            train={"image_size": 16},
            split={"policy": policy},
        )

    return run


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, r"source\.folder .*none is not a folder"),
        ({}, r"source\.folder .*source holds no files"),
        ({"1.jpg": jpeg()}, "lies in a class folder, as in train/<class>/image.jpg"),
        (class_folders("mel"), "there is one class only .'mel'"),
        ({"mel/a.jpg": b"", "nv/b.jpg": b"no"}, "2 of 2 files can't be used"),
    ],
    ids=["missing", "empty", "no class folders", "one class", "no picture"],
)
def test_a_folder_that_cannot_be_learned_from_is_refused_with_the_reason(
    three_stages, files, words
):
    with pytest.raises(InputError, match=words):
        three_stages(files)


@pytest.mark.parametrize(("spelt", "meant"), [("Melanoma", "melanoma"), ("melanomas", "melanoma")])
def test_a_class_that_is_only_in_test_is_refused_and_the_one_meant_is_named(
    three_stages, spelt, meant
):
    files = class_folders("train/melanoma", "train/nevus", f"test/{spelt}", "test/nevus")
    with pytest.raises(InputError, match=f"{spelt!r}.*did you mean {meant!r}"):
        three_stages(files, policy="original")


def test_a_picture_saved_anew_under_another_label_is_told_and_left_out_with_its_twin(three_stages):
    twins = {
        "mel/a.png": encoded(corners(), "PNG"),
        "nv/b.png": encoded(corners(), "PNG", compress_level=0),
    }
    study = three_stages(GOOD | twins)
    assert sorted(study.load("split_table")["file"]) == sorted(GOOD)
    findings = {f["id"]: f for f in study.load("audit_findings")["findings"]}
    assert findings["pixel_identical_label_conflicts"]["examples"] == [sorted(twins)]


def test_a_class_that_is_like_no_other_is_refused_without_a_guess(three_stages):
    files = class_folders("train/melanoma", "train/nevus", "test/wart", "test/nevus")
    with pytest.raises(InputError, match=r"'wart'.*mend the spelling") as refused:
        three_stages(files, policy="original")
    assert "did you mean" not in str(refused.value)


def test_a_class_with_one_image_goes_to_train(three_stages):
    split = three_stages(GOOD | {"wart/1.jpg": jpeg(99)}).load("split_table")
    assert split.set_index("label").loc["wart", "split"] == "train"
    assert set(split["split"]) == {"train", "val", "test"}


def test_an_odd_layout_is_taken_the_whole_way(three_stages):
    classes = ("data/Train/日本語", "data/Train/=nv", "data/valid/日本語", "data/valid/=nv")
    files = class_folders(*classes, "data/TEST/日本語", "data/TEST/=nv")
    study = three_stages(files | {"data/readme.txt": b"x"}, policy="original")
    split = study.load("split_table")
    assert split.groupby(["split", "label"]).size().to_dict() == {
        (split, label): 8 for split in ("train", "val", "test") for label in ("日本語", "=nv")
    }


def rows(files, **columns):
    return [{"file": file} | columns for file in files]


def test_metadata_come_with_the_files_and_group_them(three_stages, tmp_path):
    lesions = [{"file": f, "lesion_id": f"{n // 2:03}", "age": n} for n, f in enumerate(GOOD)]
    study = three_stages(GOOD, metadata=table(tmp_path / "m.csv", lesions))
    given = study.load("image_table").set_index("file").loc[list(GOOD)]
    assert given["lesion_id"].tolist() == [row["lesion_id"] for row in lesions]
    assert given["age"].tolist() == list(range(20))
    split = study.load("split_table").merge(given[["lesion_id"]], on="file")
    assert split["group_id"].nunique() == 10
    assert split.groupby("lesion_id")["split"].nunique().eq(1).all()


def test_files_without_a_label_in_the_table_are_quarantined(three_stages, tmp_path):
    flat = {f"{i}.jpg": jpeg(i) for i in range(20)}
    labels = [{"image": str(i), "dx": None if i == 3 else ("a", "b")[i % 2]} for i in range(20)]
    study = three_stages(flat, metadata=table(tmp_path / "m.csv", labels), label_column="dx")
    quarantine = study.load("quarantine")
    assert quarantine.to_numpy().tolist() == [["3.jpg", "the metadata give no label for it"]]
    assert len(study.load("image_table")) == 19


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["elsewhere/x.jpg"], r"no row of .* holds e.g. 'elsewhere/x.jpg', .* e.g. 'mel/0.jpg'"),
        (["mel/0.jpg", "mel/0.jpg"], r"2 rows of .* claim the file 'mel/0.jpg' \(lines 2, 3\)"),
        ([], "has no row with a 'file'|can't be read as a table"),
    ],
    ids=["no match", "two matches", "no rows"],
)
def test_metadata_that_do_not_fit_the_files_are_refused(three_stages, tmp_path, names, words):
    with pytest.raises(InputError, match=words):
        three_stages(GOOD, metadata=table(tmp_path / "m.csv", rows(names, age=1)))
