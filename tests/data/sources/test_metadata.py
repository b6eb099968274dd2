import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.metadata import join_metadata, match_rows, read_metadata
from support.factories import source, table


def read(*paths, **given):
    return read_metadata(source(metadata=list(map(str, paths)), **given))


def read_one(path, **given):
    (metadata,) = read(path, **given)
    return metadata


def joined(tables, files):
    return join_metadata(files, tables, [table.match_files(files) for table in tables])


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("train/mel/1.jpg", "train/mel/1.jpg"),
        ("mel/1.jpg", "train/mel/1.jpg"),
        ("1.jpg", "train/mel/1.jpg"),
        ("1", "train/mel/1.jpg"),
        ("mel/1", "train/mel/1.jpg"),
        ("1.png", "train/mel/1.jpg"),
        ("old/train/mel/1.jpg", "train/mel/1.jpg"),
        ("./mel/1.jpg", "mel/1.jpg"),
        ("C:\\data\\mel\\1.jpg", "mel/1.jpg"),
        ("ISIC_1.JPG", "ISIC_1.jpg"),
        ("elsewhere/ISIC_1.jpg", "mel/ISIC_1.jpg"),
        ("elsewhere/ISIC_1", "mel/ISIC_1.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("lesion.1", "lesion.1.jpg"),
    ],
)
def test_a_row_is_found_by_path_name_or_stem(key, file):
    assert match_rows([key, "another"], [file]) == [[0]]


@pytest.mark.parametrize(
    ("key", "file"),
    [("mel/1.jpg", "mel/11.jpg"), ("el/1.jpg", "mel/2.jpg"), ("lesion", "lesion.1.jpg")],
)
def test_a_row_is_not_found_by_a_piece_of_a_name(key, file):
    assert match_rows([key], [file]) == [[]]


def test_a_whole_path_goes_before_a_name():
    assert match_rows(["1.jpg", "nv/1.jpg"], ["a/nv/1.jpg", "a/mel/1.jpg"]) == [[1], [0]]


def test_a_row_that_one_file_has_by_its_path_is_no_other_files_by_name():
    assert match_rows(["mel/1.jpg"], ["mel/1.jpg", "nv/1.jpg"]) == [[0], []]


def test_one_row_may_belong_to_the_same_name_in_two_folders_which_is_told(tmp_path, caplog):
    metadata = read(table(tmp_path / "m.csv", [{"image": "1.jpg", "age": 50}]))
    assert joined(metadata, ["mel/1.jpg", "nv/1.jpg"])["age"].tolist() == [50, 50]
    assert "1 rows of the metadata belong to several files" in caplog.text


def reference(keys, files):
    """Find by comparing every row with every file, straight from the docstring."""

    def bare(path):
        return path.rsplit(".", 1)[0] if path.endswith((".jpg", ".png")) else path

    def by_path(path, names):
        longer = [r for r, key in enumerate(names) if f"/{key}".endswith(f"/{path}")]
        shorter = [r for r, key in enumerate(names) if f"/{path}".endswith(f"/{key}")]
        longest = max((len(names[r]) for r in shorter), default=0)
        return longer or [r for r in shorter if len(names[r]) == longest]

    claims = [by_path(f, keys) or by_path(bare(f), list(map(bare, keys))) for f in files]
    free = set(range(len(keys))) - {rows[0] for rows in claims if rows}
    names = [bare(key).split("/")[-1] for key in keys]
    return [
        rows or [r for r in sorted(free) if names[r] == bare(file).split("/")[-1]]
        for rows, file in zip(claims, files, strict=True)
    ]


names = st.builds(str.__add__, st.sampled_from("ab1"), st.sampled_from(["", ".jpg", ".png", ".x"]))
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from("ab1"), max_size=3),
    names,
)


@given(keys=st.lists(paths, max_size=6), files=st.lists(paths, max_size=6))
def test_quick_matching_finds_what_comparing_all_with_all_finds(keys, files):
    assert match_rows(keys, files) == reference(keys, files)


@given(files=st.lists(paths, unique=True), order=st.randoms())
def test_a_row_that_names_a_whole_path_claims_that_file_wherever_it_stands(files, order):
    keys = [f"somewhere/{file}" for file in files]
    order.shuffle(keys)
    for file, rows in zip(files, match_rows(keys, files), strict=True):
        assert keys.index(f"somewhere/{file}") in rows


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("ISIC_{:07d}", "train/class {0}/ISIC_{0:07d}.jpg"),
        ("old/{}/front.jpg", "new/{}/front.jpg"),  # one name, thirty thousand times
        ("front.jpg", "{}/front.jpg"),
    ],
)
def test_thirty_thousand_rows_and_files_match_within_two_seconds(key, file):
    keys, files = ([form.format(i) for i in range(30_000)] for form in (key, file))
    start = time.perf_counter()
    match_rows(keys, files)
    assert time.perf_counter() - start < 2


def test_columns_with_our_names_are_renamed_and_never_override(tmp_path):
    rows = [{"file": "a.jpg", "image_id": "x", "label": "theirs", "width": 9, "age": 40}]
    given = joined(read(table(tmp_path / "m.csv", rows)), ["a.jpg"])
    assert given.loc["a.jpg"].to_dict() == {
        "metadata_file": "a.jpg",
        "metadata_image_id": "x",
        "metadata_label": "theirs",
        "metadata_width": 9,
        "age": 40,
    }


def test_renaming_never_makes_two_columns_of_one_name(tmp_path):
    metadata = read(table(tmp_path / "m.csv", [{"file": "a", "metadata_file": "b", "label": "c"}]))
    columns = joined(metadata, ["a.jpg"]).columns.tolist()
    assert len(columns) == len(set(columns)) == 3


def test_numbers_become_numbers_and_ids_stay_text(tmp_path):
    rows = [
        {"image": "007", "lesion_id": "0012", "age": "45", "site": "back", "x": "1"},
        {"image": "008", "lesion_id": "", "age": "", "site": "", "x": "unknown"},
    ]
    metadata = read(table(tmp_path / "m.csv", rows))
    given = joined(metadata, ["a/008.jpg", "a/007.jpg", "a/009.jpg"])
    assert given["lesion_id"].tolist() == [None, "0012", None]
    assert given["image"].tolist() == ["008", "007", None]
    assert given["age"].dtype == np.float64
    assert given["age"].iloc[1] == 45
    assert given["site"].tolist() == [None, "back", None]
    assert given["x"].tolist() == ["unknown", "1", None]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_commas_semicolons_and_tabs_are_told_apart(tmp_path, separator, encoding, suffix):
    rows = [{"image": "日本", "age": 40, "site": "a, b; c"}]
    path = table(tmp_path / f"m{suffix}", rows, sep=separator, encoding=encoding)
    assert joined(read(path), ["日本.jpg"])[["age", "site"]].iloc[0].tolist() == [40, "a, b; c"]


def test_spaces_around_names_and_cells_do_not_matter(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image , age\n 1.jpg , 40\n")
    assert joined(read(path), ["1.jpg"])["age"].tolist() == [40]


def test_the_key_is_the_first_known_column_unless_another_is_asked_for(tmp_path):
    path = table(tmp_path / "m.csv", [{"isic_id": "b", "image": "a", "photo": "c"}])
    assert read_one(path).key == "image"
    assert read_one(path, metadata_key="photo").key == "photo"


def test_labels_may_stand_in_the_key_column(tmp_path):
    path = table(tmp_path / "m.csv", [{"image": "a"}])
    metadata = read_one(path, label_column="image")
    assert metadata.labels_for(metadata.match_files(["a.jpg"])) == ["a"]


def one_hot_table(path, **changed):
    rows = [
        {"image": "ISIC_1", "MEL": 1.0, "NV": 0.0, "UNK": 0.0},
        {"image": "ISIC_2", "MEL": 0.0, "NV": 1.0, "UNK": 0.0},
        {"image": "ISIC_3", "MEL": 0.0, "NV": 0.0, "UNK": 1.0} | changed,
    ]
    return table(path, rows)


def test_isics_one_hot_tables_give_labels(tmp_path):
    metadata = read_one(one_hot_table(tmp_path / "m.csv"))
    files = ["ISIC_3.jpg", "ISIC_1.jpg", "ISIC_2.jpg", "ISIC_9.jpg"]
    assert metadata.labels_for(metadata.match_files(files)) == ["UNK", "MEL", "NV", None]
    assert joined([metadata], files).columns.tolist() == ["image"]


@pytest.mark.parametrize("changed", [{"NV": 1.0}, {"UNK": 0.0}, {"MEL": 0.5}])
def test_columns_that_are_not_one_hot_are_no_labels(tmp_path, changed):
    assert not read_one(one_hot_table(tmp_path / "m.csv", **changed)).has_labels


BAD_TABLES = {
    "latin-1": ("image,site\na,Rücken\n".encode("latin-1"), "not text in UTF-8; save it as CSV"),
    "utf-16": ("image,site\na,b\n".encode("utf-16"), "not text in UTF-8"),
    "excel": (b"PK\x03\x04\x14\0\x06\0\x08\0\xff\xfe", "not text in UTF-8"),
    "no bytes": (b"", "can't be read as a table"),
    "no rows": (b"image,age\n", "has no row with a 'image'"),
    "no keys": (b"image,age\n,4\n,5\n", "has no row with a 'image'"),
    "too many cells": (b"image,age\na,4\nb,5,6,7\n", "line 3"),
    "too many cells at once": (b"image,age\na,4,5\n", "can't be read as a table"),
    "open quote": (b'image,age\n"a,4\nb,5\n', "can't be read as a table"),
    "no key column": (b"photo,age\na,4\n", "none of the columns file, image, image_id, isic_id"),
    "two of a name": (b"image,image \na,b\n", "two columns of one name"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_table_that_cannot_be_used_is_refused_with_its_name_and_reason(tmp_path, kind):
    data, reason = BAD_TABLES[kind]
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as refused:
        read(path)
    assert str(path) in str(refused.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv can't be opened: No such file"):
        read(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="can't be opened: Is a directory"):
        read(tmp_path)


def test_a_column_asked_for_but_absent_is_named_with_those_there_are(tmp_path):
    path = table(tmp_path / "m.csv", [{"image": "a", "dx": "nv"}])
    for asked in ({"label_column": "diagnosis"}, {"metadata_key": "photo"}):
        with pytest.raises(InputError, match=r"is not a column of .*; it has image, dx"):
            read(path, **asked)


def test_a_column_asked_for_may_stand_in_one_of_several_tables(tmp_path):
    truth = table(tmp_path / "a.csv", [{"photo": "1", "dx": "mel"}])
    about = table(tmp_path / "b.csv", [{"image": "1.jpg", "age": 4}])
    tables = read(truth, about, metadata_key="photo", label_column="dx")
    assert [t.key for t in tables] == ["photo", "image"]
    assert [t.has_labels for t in tables] == [True, False]
    with pytest.raises(InputError, match=r"is not a column of .*a.csv; it has .*b.csv; it has"):
        read(truth, about, label_column="diagnosis")


def test_several_tables_are_joined_file_by_file(tmp_path):
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
    found = joined(read(one, two), files)
    assert found.index.tolist() == files
    assert found["age"].tolist()[:2] == [55.0, 60.0]
    assert found["age"].isna().tolist() == [False, False, True, True]
    assert found["lesion_id"].tolist() == ["008", "007", None, None]
    assert found["image"].tolist() == ["1", "2", "x/3.jpg", None]


def test_tables_that_contradict_each_other_are_refused_with_file_and_cells(tmp_path):
    one = table(tmp_path / "a.csv", [{"image_id": "1", "sex": "male"}])
    two = table(tmp_path / "b.csv", [{"image_id": "1.jpg", "sex": "female"}])
    with pytest.raises(InputError, match=r"1 files: sex of 1.jpg is female in .*b.csv, but male"):
        joined(read(one, two), ["1.jpg"])


def test_labels_in_two_tables_are_refused(tmp_path):
    tables = [one_hot_table(tmp_path / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(InputError, match=r"both .*a.csv and .*b.csv have labels; leave one"):
        read(*tables)


def test_when_no_row_matches_the_error_shows_how_both_are_named(tmp_path):
    metadata = read_one(table(tmp_path / "m.csv", [{"image": "IMG_1"}]))
    with pytest.raises(InputError, match=r"'image' holds e.g. 'IMG_1', .* e.g. 'mel/ISIC_1.jpg'"):
        metadata.match_files(["mel/ISIC_1.jpg"])


def test_two_rows_that_claim_one_file_are_named_by_their_lines(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image,age\nb,1\n\na.jpg,2\n,3\na.jpg,4\n")
    with pytest.raises(InputError, match=r"2 rows of .* claim the file 'x/a.jpg' \(lines 4, 6\)"):
        read_one(path).match_files(["x/a.jpg", "b.jpg"])
