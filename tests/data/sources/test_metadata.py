import numpy as np
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.metadata import join_metadata, read_metadata
from support.factories import source, table


def read(*paths, **params):
    return read_metadata(source(metadata=list(map(str, paths)), **params))


def read_one(path, **params):
    (metadata,) = read(path, **params)
    return metadata


def join(tables, files):
    return join_metadata(files, tables, [table.match_files(files) for table in tables])


def test_row_that_matches_files_in_two_folders_gives_a_warning(tmp_path, caplog):
    metadata = read(table(tmp_path / "m.csv", [{"image": "1.jpg", "age": 50}]))
    assert join(metadata, ["mel/1.jpg", "nv/1.jpg"])["age"].tolist() == [50, 50]
    assert "1 metadata rows match several files" in caplog.text


def test_reserved_columns_are_renamed_and_not_overwritten(tmp_path):
    rows = [{"file": "a.jpg", "image_id": "x", "label": "nevus", "width": 9, "age": 40}]
    found = join(read(table(tmp_path / "m.csv", rows)), ["a.jpg"])
    assert found.loc["a.jpg"].to_dict() == {
        "metadata_file": "a.jpg",
        "metadata_image_id": "x",
        "metadata_label": "nevus",
        "metadata_width": 9,
        "age": 40,
    }


def test_renamed_columns_have_unique_names(tmp_path):
    metadata = read(table(tmp_path / "m.csv", [{"file": "a", "metadata_file": "b", "label": "c"}]))
    columns = join(metadata, ["a.jpg"]).columns.tolist()
    assert len(columns) == len(set(columns)) == 3


def test_numbers_are_converted_and_ids_remain_text(tmp_path):
    rows = [
        {"image": "007", "lesion_id": "0012", "age": "45", "site": "back", "x": "1"},
        {"image": "008", "lesion_id": "", "age": "", "site": "", "x": "a"},
    ]
    metadata = read(table(tmp_path / "m.csv", rows))
    found = join(metadata, ["a/008.jpg", "a/007.jpg", "a/009.jpg"])
    assert found["lesion_id"].tolist() == [None, "0012", None]
    assert found["image"].tolist() == ["008", "007", None]
    assert found["age"].dtype == np.float64
    assert found["age"].iloc[1] == 45
    assert found["site"].tolist() == [None, "back", None]
    assert found["x"].tolist() == ["a", "1", None]


@pytest.mark.parametrize("missing", ["unknown", "UNK", "n/a", "NaN", "-", "?", "None"])
def test_missing_values_become_none_in_each_column_but_that_of_the_image_names(tmp_path, missing):
    path = tmp_path / "m.csv"
    path.write_text(f"image,age,site,dx\n1,40,back,mel\n{missing},{missing},{missing},{missing}\n")
    metadata = read_one(path, label_column="dx")
    files = ["1.jpg", f"{missing}.jpg".replace("/", "_")]
    assert metadata.table["image"].tolist() == ["1", missing]
    assert metadata.labels_for(np.array([0, 1])) == ["mel", None]
    found = join_metadata(files, [metadata], [np.array([0, 1])])
    assert found["age"].dtype == np.float64
    assert found[["age", "site"]].isna().to_numpy().tolist() == [[False, False], [True, True]]


def test_key_is_the_first_known_column_unless_set(tmp_path):
    path = table(tmp_path / "m.csv", [{"isic_id": "b", "image": "a", "photo": "c"}])
    assert read_one(path).key == "image"
    assert read_one(path, metadata_key="photo").key == "photo"


def test_key_column_can_contain_the_labels(tmp_path):
    path = table(tmp_path / "m.csv", [{"image": "a"}])
    metadata = read_one(path, label_column="image")
    assert metadata.labels_for(metadata.match_files(["a.jpg"])) == ["a"]


def one_hot_table(path, **changes):
    rows = [
        {"image": "ISIC_1", "MEL": 1.0, "NV": 0.0, "UNK": 0.0},
        {"image": "ISIC_2", "MEL": 0.0, "NV": 1.0, "UNK": 0.0},
        {"image": "ISIC_3", "MEL": 0.0, "NV": 0.0, "UNK": 1.0} | changes,
    ]
    return table(path, rows)


def test_isic_one_hot_table_gives_labels(tmp_path):
    metadata = read_one(one_hot_table(tmp_path / "m.csv"))
    files = ["ISIC_3.jpg", "ISIC_1.jpg", "ISIC_2.jpg", "ISIC_9.jpg"]
    assert metadata.labels_for(metadata.match_files(files)) == ["UNK", "MEL", "NV", None]
    assert join([metadata], files).columns.tolist() == ["image"]


@pytest.mark.parametrize(
    "changes", [{"NV": 1.0}, {"UNK": 0.0}, {"MEL": 0.5}, {"MEL": None}, {"NV": "x"}]
)
def test_incomplete_one_hot_labels_are_rejected_with_the_line_and_a_fix(tmp_path, changes):
    path = one_hot_table(tmp_path / "m.csv", **changes)
    with pytest.raises(
        InputError,
        match=r"incomplete in 1 row of .*m.csv \(lines 4\).* exactly one 1 in the columns "
        r"MEL, NV, UNK.*source.label_column",
    ):
        read(path)


def test_label_column_replaces_incomplete_one_hot_labels(tmp_path):
    path = one_hot_table(tmp_path / "m.csv", UNK=0.0, dx="nv")
    assert read_one(path, label_column="dx").labels_for(np.array([2])) == ["nv"]


@pytest.mark.parametrize(
    "rows",
    [
        [{"image": "1", "MEL": 0.7, "NV": 0.3}, {"image": "2", "MEL": 0.1, "NV": 0.9}],
        [{"image": "1", "MEL": 0, "NV": 0}, {"image": "2", "MEL": 1, "NV": 1}],
        [{"image": "1", "MEL": 1}, {"image": "2", "MEL": 0}],
        [{"image": "1", "MEL": "yes", "NV": "no"}, {"image": "2", "MEL": "no", "NV": "yes"}],
    ],
    ids=["probabilities", "two independent columns", "one column", "words"],
)
def test_other_columns_named_by_diagnoses_are_not_labels(tmp_path, rows):
    assert not read_one(table(tmp_path / "m.csv", rows)).has_labels


BAD_TABLES = {
    "no rows": (b"image,age\n", "has no row with a value in the column 'image'"),
    "no keys": (b"image,age\n,4\n,5\n", "has no row with a value in the column 'image'"),
    "no key column": (
        b"photo,age\na,4\n",
        "Expected one of file, image, image_id, isic_id, .*, found photo, age",
    ),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_unusable_table_is_rejected_with_its_path_and_the_reason(tmp_path, kind):
    data, reason = BAD_TABLES[kind]
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as error:
        read(path)
    assert str(path) in str(error.value)


def test_unknown_column_is_rejected_with_the_available_columns(tmp_path):
    path = table(tmp_path / "m.csv", [{"image": "a", "dx": "nv"}])
    for params in ({"label_column": "diagnosis"}, {"metadata_key": "photo"}):
        with pytest.raises(
            InputError, match=r"Unknown column .* Expected a column of .*m\.csv \(image, dx\)"
        ):
            read(path, **params)


def test_requested_column_can_be_in_any_of_several_tables(tmp_path):
    truth = table(tmp_path / "a.csv", [{"photo": "1", "dx": "mel"}])
    ages = table(tmp_path / "b.csv", [{"image": "1.jpg", "age": 4}])
    tables = read(truth, ages, metadata_key="photo", label_column="dx")
    assert [t.key for t in tables] == ["photo", "image"]
    assert [t.has_labels for t in tables] == [True, False]
    with pytest.raises(
        InputError, match=r"Expected a column of .*a.csv \(photo, dx\); .*b.csv \(image, age\)"
    ):
        read(truth, ages, label_column="diagnosis")


def test_several_tables_are_joined_by_file(tmp_path):
    one = table(tmp_path / "a.csv", [{"image": "1", "age": "55"}, {"image": "2", "age": ""}])
    two = table(
        tmp_path / "b.csv",
        [
            {"image": "x/2.jpg", "age": "60.0", "lesion_id": "007"},
            {"image": "x/3.jpg", "age": "", "lesion_id": ""},
            {"image": "x/1.jpg", "age": "55.0", "lesion_id": "008"},
        ],
    )
    files = ["x/1.jpg", "x/2.jpg", "x/3.jpg", "x/4.jpg"]
    found = join(read(one, two), files)
    assert found.index.tolist() == files
    assert found["age"].tolist()[:2] == [55.0, 60.0]
    assert found["age"].isna().tolist() == [False, False, True, True]
    assert found["lesion_id"].tolist() == ["008", "007", None, None]
    assert found["image"].tolist() == ["1", "2", "x/3.jpg", None]


def test_conflicting_tables_are_rejected_with_the_file_and_values(tmp_path):
    one = table(tmp_path / "a.csv", [{"image_id": "1", "sex": "male"}])
    two = table(tmp_path / "b.csv", [{"image_id": "1.jpg", "sex": "female"}])
    with pytest.raises(
        InputError,
        match=r"conflicting values for 1 files .* sex of 1.jpg is female in .*b.csv, but male",
    ):
        join(read(one, two), ["1.jpg"])


def test_labels_in_two_tables_are_rejected(tmp_path):
    tables = [one_hot_table(tmp_path / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(InputError, match=r"have labels \(.*a.csv and .*b.csv\).* remove one"):
        read(*tables)


def test_error_without_a_match_shows_an_example_of_both_names(tmp_path):
    metadata = read_one(table(tmp_path / "m.csv", [{"image": "IMG_1"}]))
    with pytest.raises(
        InputError, match=r"'image' contains e.g. 'IMG_1', .* e.g. 'mel/ISIC_1.jpg'"
    ):
        metadata.match_files(["mel/ISIC_1.jpg"])


def test_rows_that_match_the_same_file_are_reported_with_their_lines(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image,age\nb,1\n\na.jpg,2\n,3\na.jpg,4\n")
    with pytest.raises(InputError, match=r"2 rows of .* match the file 'x/a.jpg' \(lines 4, 6\)"):
        read_one(path).match_files(["x/a.jpg", "b.jpg"])
