import os
from pathlib import Path
from threading import Timer

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.filename_keys import filename_key
from skin_lesions.data.sources.folder import MAX_BYTES, SPLIT_FOLDERS
from support.factories import jpeg_files, source, table, write_files


def open_folder_source(folder, **params):
    return open_source(source(folder=folder, **params))


def rows(folder, names, **params):
    """Write files with these names and open the folder; return (file, label, original split)."""
    found = open_folder_source(write_files(folder, dict.fromkeys(names, b"x")), **params).table
    return list(found[["file", "label", "original_split"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/v2/"])
@pytest.mark.parametrize("name", [*SPLIT_FOLDERS, "Train", "Validation", "TEST"])
def test_split_folders_are_found_by_common_names_at_any_depth(tmp_path, prefix, name):
    names = [f"{prefix}{name}/mel/1.jpg", f"{prefix}train/nv/2.jpg"]
    split = SPLIT_FOLDERS[name.lower()]
    expected = [(names[0], "mel", split), (names[1], "nv", "train")]
    assert sorted(rows(tmp_path, names)) == sorted(expected)


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/"])
def test_class_folders_work_without_split_folders(tmp_path, prefix):
    names = [f"{prefix}mel/1.jpg", f"{prefix}nv/2.jpg"]
    assert rows(tmp_path, names) == [(names[0], "mel", None), (names[1], "nv", None)]


def test_wrapper_folder_is_found_despite_files_next_to_it(tmp_path, caplog):
    names = ["README", "cover.jpg", "archive/LICENSE", "archive/mel/1.jpg", "archive/nv/2.jpg"]
    assert [row[1] for row in rows(tmp_path, names)] == ["mel", "nv"]
    assert "Skipped 3 files that are not in class folders" in caplog.text


def test_folders_below_a_class_folder_belong_to_the_class(tmp_path):
    names = ["train/mel/patient 1/a.jpg", "train/mel/b.jpg", "train/nv/x/y/c.jpg"]
    assert [row[1] for row in rows(tmp_path, names)] == ["mel", "mel", "nv"]
    names = ["mel/patient 1/a.jpg", "mel/b.jpg", "nv/x/y/c.jpg"]
    assert [row[1] for row in rows(tmp_path / "unsplit", names)] == ["mel", "mel", "nv"]


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/v2/"])
@pytest.mark.parametrize("patient", ["", "P1/"])
def test_split_folders_inside_class_folders_give_the_split(tmp_path, prefix, patient):
    names = [
        f"{prefix}mel/Test/{patient}1.jpg",
        f"{prefix}mel/train/{patient}2.jpg",
        f"{prefix}nv/train/3.jpg",
        f"{prefix}nv/valid/4.jpg",
    ]
    assert rows(tmp_path, names) == [
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
        rows(tmp_path, names)


def test_folders_above_and_below_split_folders_that_could_be_classes_are_rejected(tmp_path):
    with pytest.raises(
        InputError, match=r"ambiguous: .* 'a', 'b', and contain the folders 'x', 'y'"
    ):
        rows(tmp_path, ["a/train/x/1.jpg", "b/train/y/2.jpg"])


def test_several_archives_with_the_same_classes_are_one_data_set(tmp_path):
    names = ["a/train/x/1.jpg", "a/train/y/2.jpg", "b/test/x/3.jpg"]
    assert [row[1:] for row in rows(tmp_path, names)] == [
        ("x", "train"),
        ("y", "train"),
        ("x", "test"),
    ]


def test_file_with_the_name_of_a_split_folder_does_not_set_the_split(tmp_path):
    names = ["mel/train", "mel/1.jpg", "nv/test", "nv/2.jpg"]
    assert {row[1:] for row in rows(tmp_path, names)} == {("mel", None), ("nv", None)}


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
        rows(tmp_path, names)


def test_class_with_files_in_another_split_can_have_an_empty_folder(tmp_path):
    (tmp_path / "val/nv").mkdir(parents=True)
    (tmp_path / "val/mel/P1").mkdir(parents=True)
    names = ["test/nv/1.jpg", "train/mel/1.jpg", "train/nv/2.jpg"]
    assert {row[1] for row in rows(tmp_path, names)} == {"mel", "nv"}


def test_empty_folder_next_to_split_folders_is_no_class(tmp_path):
    (tmp_path / "masks").mkdir()
    assert len(rows(tmp_path, ["train/mel/1.jpg", "train/nv/2.jpg"])) == 2


def test_error_without_class_folders_names_the_column_with_diagnoses(tmp_path):
    metadata = table(tmp_path / "m.csv", [{"image": "1", "dx": "mel"}, {"image": "2", "dx": "nv"}])
    with pytest.raises(InputError, match=r"source.label_column=dx"):
        rows(tmp_path / "images", ["1.jpg", "2.jpg"], metadata=metadata)


def test_class_names_are_unchanged_in_any_number_and_script(tmp_path):
    labels = ["日本語", "меланома", "a b", "<script>", "=1+1", "q\"uo'te", *map(str, range(40))]
    found = rows(tmp_path, [f"{label}/1.jpg" for label in labels])
    assert sorted(row[1] for row in found) == sorted(labels)


def test_class_names_that_look_identical_are_one_class(tmp_path):
    names = ["train/ne\u0301vus/1.jpg", "test/n\u00e9vus/2.jpg", "test/n\u00e9vus /3.jpg"]
    assert {row[1] for row in rows(tmp_path, names)} == {"n\u00e9vus"}


def test_hidden_files_system_files_and_metadata_are_not_listed(tmp_path):
    junk = [".DS_Store", ".git/config", "Thumbs.db", "desktop.ini", "mel/._1.jpg", "mel/thumbs.DB"]
    write_files(tmp_path, dict.fromkeys([*junk, "__MACOSX/mel/1.jpg"], b"x"))
    metadata = table(tmp_path / "mel" / "metadata.csv", [{"image": "1.jpg"}])
    assert rows(tmp_path, ["mel/1.jpg", "nv/2.jpg"], metadata=metadata) == [
        ("mel/1.jpg", "mel", None),
        ("nv/2.jpg", "nv", None),
    ]


def test_files_outside_class_folders_are_excluded_and_counted(tmp_path, caplog):
    names = ["a.jpg", "train/b.jpg", "other/c.jpg", "train/mel/d.jpg"]
    assert rows(tmp_path, names) == [("train/mel/d.jpg", "mel", "train")]
    assert "Skipped 3 files that are not in class folders" in caplog.text


@pytest.mark.parametrize("names", [["a.jpg"], ["train/a.jpg", "val/b.jpg"], ["data/train/a.jpg"]])
def test_error_without_class_folders_describes_the_expected_layout(tmp_path, names):
    with pytest.raises(InputError, match=r"None of the .* files .* train/<class>/image.jpg"):
        rows(tmp_path, names)


@pytest.mark.parametrize(
    ("names", "splits"),
    [(["1.jpg", "2.jpg"], [None, None]), (["train/1.jpg", "val/2.jpg"], ["train", "val"])],
)
def test_labels_can_come_from_a_table(tmp_path, names, splits, caplog):
    labels = [{"image": "1", "dx": "mel", "age": 50}, {"image": "2", "dx": None, "age": 60}]
    metadata = table(tmp_path / "m.csv", labels)
    images = write_files(tmp_path / "images", dict.fromkeys([*names, "LICENSE.txt"], b"x"))
    found = open_folder_source(images, metadata=metadata, label_column="dx").table
    assert found["file"].tolist() == names
    assert found["label"].tolist() == ["mel", None]
    assert found["original_split"].tolist() == splits
    assert found["age"].tolist() == [50, 60]
    assert "Skipped 1 files that are not in the metadata" in caplog.text


def test_isic_one_hot_table_labels_a_flat_folder(tmp_path):
    metadata = table(
        tmp_path / "truth.csv",
        [
            {"image": "ISIC_0000001", "MEL": 1.0, "NV": 0.0, "UNK": 0.0},
            {"image": "ISIC_0000002", "MEL": 0.0, "NV": 0.0, "UNK": 1.0},
        ],
    )
    names = ["ISIC_0000001.jpg", "ISIC_0000002_downsampled.jpg", "ISIC_0000002.jpg"]
    assert [row[:2] for row in rows(tmp_path / "images", names, metadata=metadata)] == [
        ("ISIC_0000001.jpg", "MEL"),
        ("ISIC_0000002.jpg", "UNK"),
    ]


def test_metadata_replace_folder_labels_only_on_request(tmp_path):
    metadata = table(tmp_path / "m.csv", [{"image": "1", "label": "from_table"}])
    assert (
        rows(tmp_path / "images", ["from_folder/1.jpg"], metadata=metadata)[0][1] == "from_folder"
    )


def test_read_returns_the_bytes_of_each_listed_file(tmp_path):
    files = jpeg_files(["mel/1.jpg", "nv/1.jpg"])
    found = open_folder_source(write_files(tmp_path, files))
    assert {file: found.read(file) for file in found.table["file"]} == files
    assert found.table["source"].unique().tolist() == [tmp_path.name]


def test_symlinks_are_followed_without_cycles(tmp_path):
    store = write_files(tmp_path / "store", jpeg_files(["a.jpg", "deep/b.jpg"]))
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "mel/2.jpg").symlink_to(store / "a.jpg")
    (images / "nv").symlink_to(store, target_is_directory=True)
    (images / "mel/up").symlink_to(images, target_is_directory=True)
    (store / "deep/back").symlink_to(store, target_is_directory=True)
    found = open_folder_source(images, follow_symlinks=True)
    assert found.table["file"].tolist() == ["mel/1.jpg", "mel/2.jpg", "nv/a.jpg", "nv/deep/b.jpg"]
    assert found.read("mel/2.jpg") == found.read("nv/a.jpg") == (store / "a.jpg").read_bytes()


def test_folders_that_link_to_each_other_do_not_loop(tmp_path):
    write_files(tmp_path, jpeg_files(["x/1.jpg", "y/2.jpg"]))
    (tmp_path / "x/to y").symlink_to(tmp_path / "y", target_is_directory=True)
    (tmp_path / "y/to x").symlink_to(tmp_path / "x", target_is_directory=True)
    found = open_folder_source(tmp_path).table["file"].tolist()
    assert found == ["x/1.jpg", "x/to y/2.jpg", "y/2.jpg", "y/to x/1.jpg"]


def test_links_within_the_source_folder_are_read(tmp_path):
    images = write_files(tmp_path / "images", jpeg_files(["originals/nv/1.jpg", "nv/2.jpg"]))
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    (images / "mel").mkdir()
    (images / "mel/1.jpg").symlink_to("../originals/nv/1.jpg")
    (images / "linked").symlink_to(images / "originals/nv", target_is_directory=True)
    found = open_folder_source(tmp_path / "link")
    assert found.read("mel/1.jpg") == found.read("originals/nv/1.jpg")
    assert "linked/1.jpg" in found.table["file"].tolist()


def test_links_to_files_outside_are_not_read_by_default(tmp_path):
    outside = write_files(tmp_path / "images of others", jpeg_files(["a.jpg"])) / "a.jpg"
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "mel/2.jpg").symlink_to(outside)
    (images / "mel/3.jpg").symlink_to(images / "mel/2.jpg")  # through a link inside
    found = open_folder_source(images)
    for file in ("mel/2.jpg", "mel/3.jpg"):
        with pytest.raises(OSError, match="leads out of .* set source.follow_symlinks=true"):
            found.read(file)
        assert open_folder_source(images, follow_symlinks=True).read(file) == outside.read_bytes()


def test_links_to_folders_outside_are_an_error_that_names_the_parameter(tmp_path):
    store = write_files(tmp_path / "images2", jpeg_files(["a.jpg"]))  # same prefix as the source
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "nv").symlink_to(store, target_is_directory=True)
    with pytest.raises(InputError, match=r"nv -> .*images2.*set source.follow_symlinks=true"):
        open_folder_source(images)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_file_name_that_is_not_utf8_is_escaped_and_readable(tmp_path):
    write_files(tmp_path, jpeg_files(["nv/1.jpg"]))
    (tmp_path / "mel").mkdir()
    path = os.path.join(os.fsencode(tmp_path), b"mel", b"caf\xe9.jpg")  # noqa: PTH118
    Path(os.fsdecode(path)).write_bytes(b"these bytes")
    found = open_folder_source(tmp_path)
    assert found.table["file"].tolist() == ["mel/caf\\xe9.jpg", "nv/1.jpg"]
    assert found.read("mel/caf\\xe9.jpg") == b"these bytes"


@pytest.fixture
def pipe(tmp_path):
    """Create a pipe without a writer. A timer unblocks a reader after 5 seconds."""
    path = tmp_path / "mel/pipe.jpg"
    path.parent.mkdir()
    os.mkfifo(path)
    timer = Timer(5, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    timer.start()
    yield path
    timer.cancel()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_pipe_input_is_rejected(pipe):
    with pytest.raises(OSError, match="a pipe, socket or device"):
        open_folder_source(pipe.parents[1]).read("mel/pipe.jpg")


def test_broken_link_and_oversized_file_are_rejected(tmp_path):
    write_files(tmp_path, jpeg_files(["mel/1.jpg"]))
    (tmp_path / "mel/broken.jpg").symlink_to(tmp_path / "gone.jpg")
    with (tmp_path / "mel/huge.jpg").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    found = open_folder_source(tmp_path)
    with pytest.raises(OSError, match=r"broken link: .*gone.jpg does not exist"):
        found.read("mel/broken.jpg")
    with pytest.raises(OSError, match=r"too large: 134,217,729 bytes, at most 134,217,728 are"):
        found.read("mel/huge.jpg")


def test_invalid_source_folder_is_rejected_with_the_reason(tmp_path):
    archive = tmp_path / "images.zip"
    archive.write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    for folder, reason in {
        None: "source.folder is not set",
        tmp_path / "nowhere": "is not a folder",
        archive: "is a file .* unpack the file",
        tmp_path / "empty": "No files found",
    }.items():
        with pytest.raises(InputError, match=reason):
            open_folder_source(folder)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("train/Chickenpox/CHP_02_01_1.jpg", "CHP_02"),
        ("MKP_1_2.png", "MKP_1"),
        ("healthy_03_01.jpg", "HEALTHY_03"),
        ("mel/ISIC_0024468.jpg", "ISIC_0024468"),
        ("isic_0024468_downsampled.jpg", "ISIC_0024468"),
        ("1.jpg", None),
        ("ISIC_0024468/x.jpg", None),
        ("XYZ_02_01.jpg", None),
    ],
)
def test_built_in_patterns_extract_the_filename_key(file, key):
    assert filename_key(file) == key


@pytest.mark.parametrize(
    ("file", "pattern", "key"),
    [
        ("nv/P017_left_2.jpg", r"^(P\d+)_", "P017"),
        ("nv/P017_left_2.jpg", r"P\d+", "P017"),
        ("nv/P017_left_2.jpg", r"^(?P<side>\w)?\d+_(?P<key>[a-z]+)", "left"),
        ("nv/x_17.png", r"_(\d+)$", "17"),  # the suffix is ignored
        ("P017/nv/1.jpg", r"P\d+", None),  # folders are ignored
        ("nv/p017.jpg", r"P\d+", None),
        ("nv/a1.jpg", r"a(b)?", None),  # a group that does not participate in the match
        ("nv/a1.jpg", r"a(b*)", None),  # a group that captures an empty text
        ("nv/ISIC_0024468.jpg", r"^(P\d+)_", None),
        ("nv/Jose\u0301_1.jpg", r"^(.+)_\d", "Jos\u00e9"),
    ],
)
def test_custom_pattern_extracts_the_filename_key(file, pattern, key):
    assert filename_key(file, pattern) == key


def test_custom_pattern_replaces_the_built_in_ones_and_its_keys_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    names = ["mel/P1_a.jpg", "mel/P1_b.jpg", "nv/P2_a.jpg", "nv/ISIC_0024468.jpg"]
    images = write_files(tmp_path, dict.fromkeys(names, b"x"))
    found = open_folder_source(images, filename_pattern=r"^(P\d+)_")
    assert found.table.set_index("file")["filename_key"].dropna().to_dict() == {
        "mel/P1_a.jpg": "P1",
        "mel/P1_b.jpg": "P1",
        "nv/P2_a.jpg": "P2",
    }
    assert found.origin.filename_pattern == r"^(P\d+)_"
    assert "3 of 4 file names have a key, e.g. P1; 2 distinct keys" in caplog.text


def test_pattern_without_a_match_is_rejected_with_an_example_and_a_fix(tmp_path):
    images = write_files(tmp_path, dict.fromkeys(["mel/a 1.jpg", "nv/b.jpg"], b"x"))
    with pytest.raises(
        InputError,
        match=r"=\^\(P\\d\+\)_ matches none of the 2 file names, "
        r"e.g. 'a 1' .*filename_pattern=null",
    ):
        open_folder_source(images, filename_pattern=r"^(P\d+)_")


def test_grouped_isic_images_have_split_label_and_lesion(shared_data):
    folder = shared_data / "isic8_grouped"
    found = open_folder_source(folder, metadata=folder / "metadata.csv").table
    assert len(found) == 2144
    assert found["original_split"].value_counts().to_dict() == {
        "train": 1496,
        "val": 325,
        "test": 323,
    }
    assert (found["label"] == found["metadata_label"]).all()
    assert (found["metadata_file"] == found["file"]).all()
    assert found["lesion_id"].str.startswith(("HAM_", "BCN_", "MSK")).sum() > 1000
    assert found["age"].dtype == float


def test_original_isic_images_have_their_original_split_and_classes(shared_data):
    found = open_folder_source(shared_data / "isic9_as_shipped").table
    assert len(found) == 2359
    assert found["label"].nunique() == 9
    assert set(found["original_split"]) == {"train", "test"}
    assert found["filename_key"].notna().mean() > 0.9


def test_isic_2017_labels_are_read_from_the_table(shared_data):
    folder = shared_data / "isic2017"
    found = open_folder_source(
        folder, metadata=folder / "metadata.csv", label_column="isic2019_label"
    ).table
    assert len(found) == 2150
    assert set(found["label"].dropna()) == {"NV", "MEL", "BKL"}
    assert set(found["original_split"]) == {"train", "val"}
    assert (found["metadata_split"] == found["original_split"]).all()
