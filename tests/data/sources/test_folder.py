import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.filename_keys import filename_key
from support.factories import table, write_files
from support.sources import folder_rows, open_folder_source


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
    assert [row[:2] for row in folder_rows(tmp_path / "images", names, metadata=metadata)] == [
        ("ISIC_0000001.jpg", "MEL"),
        ("ISIC_0000002.jpg", "UNK"),
    ]


def test_metadata_replace_folder_labels_only_on_request(tmp_path):
    metadata = table(tmp_path / "m.csv", [{"image": "1", "label": "from_table"}])
    assert (
        folder_rows(tmp_path / "images", ["from_folder/1.jpg"], metadata=metadata)[0][1]
        == "from_folder"
    )


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
