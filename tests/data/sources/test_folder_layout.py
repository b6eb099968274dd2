import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.folder_layout import SPLIT_FOLDERS
from support.factories import table, write_files
from support.sources import folder_rows


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/v2/"])
@pytest.mark.parametrize("name", [*SPLIT_FOLDERS, "Train", "Validation", "TEST"])
def test_split_folders_are_found_by_common_names_at_any_depth(tmp_path, prefix, name):
    names = [f"{prefix}{name}/mel/1.jpg", f"{prefix}train/nv/2.jpg"]
    split = SPLIT_FOLDERS[name.lower()]
    expected = [(names[0], "mel", split), (names[1], "nv", "train")]
    assert sorted(folder_rows(tmp_path, names)) == sorted(expected)


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/"])
def test_class_folders_work_without_split_folders(tmp_path, prefix):
    names = [f"{prefix}mel/1.jpg", f"{prefix}nv/2.jpg"]
    assert folder_rows(tmp_path, names) == [(names[0], "mel", None), (names[1], "nv", None)]


def test_wrapper_folder_is_found_despite_files_next_to_it(tmp_path, caplog):
    names = ["README", "cover.jpg", "archive/LICENSE", "archive/mel/1.jpg", "archive/nv/2.jpg"]
    assert [row[1] for row in folder_rows(tmp_path, names)] == ["mel", "nv"]
    assert "Skipped 3 files that are not in class folders" in caplog.text


def test_folders_below_a_class_folder_belong_to_the_class(tmp_path):
    names = ["train/mel/patient 1/a.jpg", "train/mel/b.jpg", "train/nv/x/y/c.jpg"]
    assert [row[1] for row in folder_rows(tmp_path, names)] == ["mel", "mel", "nv"]
    names = ["mel/patient 1/a.jpg", "mel/b.jpg", "nv/x/y/c.jpg"]
    assert [row[1] for row in folder_rows(tmp_path / "unsplit", names)] == ["mel", "mel", "nv"]


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/v2/"])
@pytest.mark.parametrize("patient", ["", "P1/"])
def test_split_folders_inside_class_folders_give_the_split(tmp_path, prefix, patient):
    names = [
        f"{prefix}mel/Test/{patient}1.jpg",
        f"{prefix}mel/train/{patient}2.jpg",
        f"{prefix}nv/train/3.jpg",
        f"{prefix}nv/valid/4.jpg",
    ]
    assert folder_rows(tmp_path, names) == [
        (names[0], "mel", "test"),
        (names[1], "mel", "train"),
        (names[2], "nv", "train"),
        (names[3], "nv", "val"),
    ]


def test_class_folders_with_split_folders_only_in_some_are_rejected(tmp_path):
    names = ["mel/train/1.jpg", "mel/test/2.jpg", "nv/3.jpg"]
    with pytest.raises(
        InputError, match=r"2 of 3 files .* e.g. mel/test/2.jpg, but not nv/3.jpg.*for none"
    ):
        folder_rows(tmp_path, names)


def test_folders_above_and_below_split_folders_that_could_be_classes_are_rejected(tmp_path):
    with pytest.raises(
        InputError, match=r"ambiguous: .* 'a', 'b', and contain the folders 'x', 'y'"
    ):
        folder_rows(tmp_path, ["a/train/x/1.jpg", "b/train/y/2.jpg"])


def test_several_archives_with_the_same_classes_are_one_data_set(tmp_path):
    names = ["a/train/x/1.jpg", "a/train/y/2.jpg", "b/test/x/3.jpg"]
    assert [row[1:] for row in folder_rows(tmp_path, names)] == [
        ("x", "train"),
        ("y", "train"),
        ("x", "test"),
    ]


def test_file_with_the_name_of_a_split_folder_does_not_set_the_split(tmp_path):
    names = ["mel/train", "mel/1.jpg", "nv/test", "nv/2.jpg"]
    assert {row[1:] for row in folder_rows(tmp_path, names)} == {("mel", None), ("nv", None)}


@pytest.mark.parametrize("empty", ["bcc", "bcc/P1"])
@pytest.mark.parametrize("prefix", ["", "archive/"])
@pytest.mark.parametrize(
    "layout", ["{prefix}{split}/{name}", "{prefix}{name}/{split}", "{prefix}{name}"]
)
def test_class_folder_without_files_is_rejected_with_its_name(tmp_path, layout, prefix, empty):
    def place(name, split="train"):
        return layout.format(prefix=prefix, name=name, split=split)

    names = [f"{place('mel')}/1.jpg", f"{place('nv')}/2.jpg"]
    write_files(tmp_path / place(empty), {".DS_Store": b"x"})
    with pytest.raises(InputError, match=r"1 class folder in .* without any file: 'bcc'.*delete"):
        folder_rows(tmp_path, names)


def test_class_with_files_in_another_split_can_have_an_empty_folder(tmp_path):
    (tmp_path / "val/nv").mkdir(parents=True)
    (tmp_path / "val/mel/P1").mkdir(parents=True)
    names = ["test/nv/1.jpg", "train/mel/1.jpg", "train/nv/2.jpg"]
    assert {row[1] for row in folder_rows(tmp_path, names)} == {"mel", "nv"}


def test_empty_folder_next_to_split_folders_is_no_class(tmp_path):
    (tmp_path / "masks").mkdir()
    assert len(folder_rows(tmp_path, ["train/mel/1.jpg", "train/nv/2.jpg"])) == 2


def test_error_without_class_folders_names_the_column_with_diagnoses(tmp_path):
    metadata = table(tmp_path / "m.csv", [{"image": "1", "dx": "mel"}, {"image": "2", "dx": "nv"}])
    with pytest.raises(InputError, match=r"source.label_column=dx"):
        folder_rows(tmp_path / "images", ["1.jpg", "2.jpg"], metadata=metadata)


def test_class_names_are_unchanged_in_any_number_and_script(tmp_path):
    labels = ["日本語", "меланома", "a b", "<script>", "=1+1", "q\"uo'te", *map(str, range(40))]
    found = folder_rows(tmp_path, [f"{label}/1.jpg" for label in labels])
    assert sorted(row[1] for row in found) == sorted(labels)


def test_class_names_that_look_identical_are_one_class(tmp_path):
    names = ["train/ne\u0301vus/1.jpg", "test/n\u00e9vus/2.jpg", "test/n\u00e9vus /3.jpg"]
    assert {row[1] for row in folder_rows(tmp_path, names)} == {"n\u00e9vus"}


def test_files_outside_class_folders_are_excluded_and_counted(tmp_path, caplog):
    names = ["a.jpg", "train/b.jpg", "other/c.jpg", "train/mel/d.jpg"]
    assert folder_rows(tmp_path, names) == [("train/mel/d.jpg", "mel", "train")]
    assert "Skipped 3 files that are not in class folders" in caplog.text


@pytest.mark.parametrize("names", [["a.jpg"], ["train/a.jpg", "val/b.jpg"], ["data/train/a.jpg"]])
def test_error_without_class_folders_describes_the_expected_layout(tmp_path, names):
    with pytest.raises(InputError, match=r"None of the .* files .* train/<class>/image.jpg"):
        folder_rows(tmp_path, names)
