import os
from pathlib import Path
from threading import Timer

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.filename_keys import filename_key
from skin_lesions.data.sources.folder import MAX_BYTES, SPLIT_FOLDERS
from support.factories import pictures, source, table, written


def opened(folder, **given):
    return open_source(source(folder=folder, **given))


def rows(folder, names, **given):
    """Write files of these names, open the folder: (file, label, shipped split) of each row."""
    found = opened(written(folder, dict.fromkeys(names, b"x")), **given).table
    return list(found[["file", "label", "original_split"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/v2/"])
@pytest.mark.parametrize("name", [*SPLIT_FOLDERS, "Train", "Validation", "TEST"])
def test_split_folders_are_known_by_any_usual_name_and_depth(tmp_path, prefix, name):
    names = [f"{prefix}{name}/mel/1.jpg", f"{prefix}train/nv/2.jpg"]
    split = SPLIT_FOLDERS[name.lower()]
    expected = [(names[0], "mel", split), (names[1], "nv", "train")]
    assert sorted(rows(tmp_path, names)) == sorted(expected)


@pytest.mark.parametrize("prefix", ["", "archive/", "archive/data set/"])
def test_class_folders_need_no_split_folders(tmp_path, prefix):
    names = [f"{prefix}mel/1.jpg", f"{prefix}nv/2.jpg"]
    assert rows(tmp_path, names) == [(names[0], "mel", None), (names[1], "nv", None)]


def test_what_lies_beside_the_class_folders_hides_no_wrapper(tmp_path, caplog):
    names = ["README", "cover.jpg", "archive/LICENSE", "archive/mel/1.jpg", "archive/nv/2.jpg"]
    assert [row[1] for row in rows(tmp_path, names)] == ["mel", "nv"]
    assert "3 files lie outside class folders and are left out" in caplog.text


def test_folders_below_a_class_belong_to_the_class(tmp_path):
    names = ["train/mel/patient 1/a.jpg", "train/mel/b.jpg", "train/nv/x/y/c.jpg"]
    assert [row[1] for row in rows(tmp_path, names)] == ["mel", "mel", "nv"]
    names = ["mel/patient 1/a.jpg", "mel/b.jpg", "nv/x/y/c.jpg"]
    assert [row[1] for row in rows(tmp_path / "unsplit", names)] == ["mel", "mel", "nv"]


def test_class_folders_are_taken_as_they_come_in_any_number_and_script(tmp_path):
    labels = ["日本語", "меланома", "a b", "<script>", "=1+1", "q\"uo'te", *map(str, range(40))]
    found = rows(tmp_path, [f"{label}/1.jpg" for label in labels])
    assert sorted(row[1] for row in found) == sorted(labels)


def test_two_spellings_that_nobody_can_tell_apart_are_one_class(tmp_path):
    names = ["train/ne\u0301vus/1.jpg", "test/n\u00e9vus/2.jpg", "test/n\u00e9vus /3.jpg"]
    assert {row[1] for row in rows(tmp_path, names)} == {"n\u00e9vus"}


def test_hidden_and_system_files_and_the_metadata_are_not_listed(tmp_path):
    junk = [".DS_Store", ".git/config", "Thumbs.db", "desktop.ini", "mel/._1.jpg", "mel/thumbs.DB"]
    written(tmp_path, dict.fromkeys([*junk, "__MACOSX/mel/1.jpg"], b"x"))
    metadata = table(tmp_path / "mel" / "metadata.csv", [{"image": "1.jpg"}])
    assert rows(tmp_path, ["mel/1.jpg", "nv/2.jpg"], metadata=metadata) == [
        ("mel/1.jpg", "mel", None),
        ("nv/2.jpg", "nv", None),
    ]


def test_files_outside_class_folders_are_left_out_and_counted(tmp_path, caplog):
    names = ["a.jpg", "train/b.jpg", "other/c.jpg", "train/mel/d.jpg"]
    assert rows(tmp_path, names) == [("train/mel/d.jpg", "mel", "train")]
    assert "3 files lie outside class folders and are left out" in caplog.text


@pytest.mark.parametrize("names", [["a.jpg"], ["train/a.jpg", "val/b.jpg"], ["data/train/a.jpg"]])
def test_without_class_folders_the_error_says_what_is_looked_for(tmp_path, names):
    with pytest.raises(InputError, match=r"none of the .* files .* train/<class>/image.jpg"):
        rows(tmp_path, names)


@pytest.mark.parametrize(
    ("names", "splits"),
    [(["1.jpg", "2.jpg"], [None, None]), (["train/1.jpg", "val/2.jpg"], ["train", "val"])],
)
def test_labels_may_come_from_a_table(tmp_path, names, splits, caplog):
    truth = [{"image": "1", "dx": "mel", "age": 50}, {"image": "2", "dx": None, "age": 60}]
    metadata = table(tmp_path / "m.csv", truth)
    images = written(tmp_path / "images", dict.fromkeys([*names, "LICENSE.txt"], b"x"))
    found = opened(images, metadata=metadata, label_column="dx").table
    assert found["file"].tolist() == names
    assert found["label"].tolist() == ["mel", None]
    assert found["original_split"].tolist() == splits
    assert found["age"].tolist() == [50, 60]
    assert "1 files lie outside the metadata" in caplog.text


def test_one_hot_tables_of_isic_give_the_labels_of_a_flat_folder(tmp_path):
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


def test_metadata_never_replace_the_labels_of_class_folders_unasked(tmp_path):
    metadata = table(tmp_path / "m.csv", [{"image": "1", "label": "theirs"}])
    assert rows(tmp_path / "images", ["ours/1.jpg"], metadata=metadata)[0][1] == "ours"


def test_files_are_read_by_their_row(tmp_path):
    files = pictures(["mel/1.jpg", "nv/1.jpg"])
    found = opened(written(tmp_path, files))
    assert {file: found.read(file) for file in found.table["file"]} == files
    assert found.table["source"].unique().tolist() == [tmp_path.name]


def test_links_to_files_and_folders_are_followed_but_not_in_a_circle(tmp_path):
    elsewhere = written(tmp_path / "store", pictures(["a.jpg", "deep/b.jpg"]))
    images = written(tmp_path / "images", pictures(["mel/1.jpg"]))
    (images / "mel/2.jpg").symlink_to(elsewhere / "a.jpg")
    (images / "nv").symlink_to(elsewhere, target_is_directory=True)
    (images / "mel/up").symlink_to(images, target_is_directory=True)
    (elsewhere / "deep/back").symlink_to(elsewhere, target_is_directory=True)
    found = opened(images)
    assert found.table["file"].tolist() == ["mel/1.jpg", "mel/2.jpg", "nv/a.jpg", "nv/deep/b.jpg"]
    assert found.read("mel/2.jpg") == found.read("nv/a.jpg") == (elsewhere / "a.jpg").read_bytes()


def test_two_folders_that_link_to_each_other_come_to_an_end(tmp_path):
    written(tmp_path, pictures(["x/1.jpg", "y/2.jpg"]))
    (tmp_path / "x/to y").symlink_to(tmp_path / "y", target_is_directory=True)
    (tmp_path / "y/to x").symlink_to(tmp_path / "x", target_is_directory=True)
    found = opened(tmp_path).table["file"].tolist()
    assert found == ["x/1.jpg", "x/to y/2.jpg", "y/2.jpg", "y/to x/1.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_not_utf8_is_spelt_out_and_still_read(tmp_path):
    written(tmp_path, pictures(["nv/1.jpg"]))
    (tmp_path / "mel").mkdir()
    odd = os.path.join(os.fsencode(tmp_path), b"mel", b"caf\xe9.jpg")  # noqa: PTH118
    Path(os.fsdecode(odd)).write_bytes(b"these bytes")
    found = opened(tmp_path)
    assert found.table["file"].tolist() == ["mel/caf\\xe9.jpg", "nv/1.jpg"]
    assert found.read("mel/caf\\xe9.jpg") == b"these bytes"


@pytest.fixture
def pipe(tmp_path):
    """Make a pipe that nothing is written to; who waits for it anyway is sent on after a while."""
    path = tmp_path / "mel/pipe.jpg"
    path.parent.mkdir()
    os.mkfifo(path)
    rescue = Timer(5, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    rescue.start()
    yield path
    rescue.cancel()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(pipe):
    with pytest.raises(OSError, match="a pipe, socket or device"):
        opened(pipe.parents[1]).read("mel/pipe.jpg")


def test_a_broken_link_and_a_file_too_large_to_read_are_told(tmp_path):
    written(tmp_path, pictures(["mel/1.jpg"]))
    (tmp_path / "mel/broken.jpg").symlink_to(tmp_path / "gone.jpg")
    with (tmp_path / "mel/huge.jpg").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    found = opened(tmp_path)
    with pytest.raises(OSError, match=r"a link to .*gone.jpg, which is not there"):
        found.read("mel/broken.jpg")
    with pytest.raises(OSError, match=r"1,073,741,825 bytes, more than the"):
        found.read("mel/huge.jpg")


def test_a_source_folder_that_cannot_be_one_is_refused(tmp_path):
    archive = tmp_path / "images.zip"
    archive.write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    for folder, reason in {
        None: "source.folder is not set",
        tmp_path / "nowhere": "is not a folder",
        archive: "is a file; unpack it",
        tmp_path / "empty": "holds no files",
    }.items():
        with pytest.raises(InputError, match=reason):
            opened(folder)


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
def test_a_name_says_what_it_belongs_to_where_it_follows_a_known_rule(file, key):
    assert filename_key(file) == key


@pytest.mark.parametrize(
    ("file", "pattern", "key"),
    [
        ("nv/P017_left_2.jpg", r"^(P\d+)_", "P017"),
        ("nv/P017_left_2.jpg", r"P\d+", "P017"),
        ("nv/P017_left_2.jpg", r"^(?P<side>\w)?\d+_(?P<key>[a-z]+)", "left"),
        ("nv/x_17.png", r"_(\d+)$", "17"),  # the suffix is not part of the name
        ("P017/nv/1.jpg", r"P\d+", None),  # nor are the folders
        ("nv/p017.jpg", r"P\d+", None),
        ("nv/a1.jpg", r"a(b)?", None),  # a group that takes no part
        ("nv/a1.jpg", r"a(b*)", None),  # or that captures nothing
        ("nv/ISIC_0024468.jpg", r"^(P\d+)_", None),
        ("nv/Jose\u0301_1.jpg", r"^(.+)_\d", "Jos\u00e9"),
    ],
)
def test_a_pattern_of_the_users_says_what_a_name_belongs_to(file, pattern, key):
    assert filename_key(file, pattern) == key


def test_the_pattern_replaces_those_that_are_built_in_and_its_keys_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    names = ["mel/P1_a.jpg", "mel/P1_b.jpg", "nv/P2_a.jpg", "nv/ISIC_0024468.jpg"]
    images = written(tmp_path, dict.fromkeys(names, b"x"))
    found = opened(images, filename_pattern=r"^(P\d+)_")
    assert found.table.set_index("file")["filename_key"].dropna().to_dict() == {
        "mel/P1_a.jpg": "P1",
        "mel/P1_b.jpg": "P1",
        "nv/P2_a.jpg": "P2",
    }
    assert found.origin["filename_pattern"] == r"^(P\d+)_"
    assert "3 of 4 file names have a key, e.g. P1; 2 different keys" in caplog.text


def test_a_pattern_that_no_name_matches_is_refused_with_a_name_and_the_remedy(tmp_path):
    images = written(tmp_path, dict.fromkeys(["mel/a 1.jpg", "nv/b.jpg"], b"x"))
    with pytest.raises(
        InputError,
        match=r" \^\(P\\d\+\)_ matches none of the 2 file names, e.g. 'a 1' .*filename_pattern=null",
    ):
        opened(images, filename_pattern=r"^(P\d+)_")


def test_the_grouped_isic_images_come_with_split_label_and_lesion(shared_data):
    folder = shared_data / "isic8_grouped"
    found = opened(folder, metadata=folder / "metadata.csv").table
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


def test_the_isic_images_as_shipped_are_taken_as_they_are(shared_data):
    found = opened(shared_data / "isic9_as_shipped").table
    assert len(found) == 2359
    assert found["label"].nunique() == 9
    assert set(found["original_split"]) == {"train", "test"}
    assert found["filename_key"].notna().mean() > 0.9


def test_isic_2017_takes_its_labels_from_the_table(shared_data):
    folder = shared_data / "isic2017"
    found = opened(folder, metadata=folder / "metadata.csv", label_column="isic2019_label").table
    assert len(found) == 2150
    assert set(found["label"].dropna()) == {"NV", "MEL", "BKL"}
    assert set(found["original_split"]) == {"train", "val"}
    assert (found["metadata_split"] == found["original_split"]).all()
