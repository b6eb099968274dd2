import os
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.metadata import join_metadata, match_rows, read_metadata
from support.factories import source, table


def read(*paths, **params):
    return read_metadata(source(metadata=list(map(str, paths)), **params))


def read_one(path, **params):
    (metadata,) = read(path, **params)
    return metadata


def join(tables, files):
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
def test_row_is_matched_by_path_name_or_stem(key, file):
    assert match_rows([key, "another"], [file]) == [[0]]


@pytest.mark.parametrize(
    ("key", "file"),
    [("mel/1.jpg", "mel/11.jpg"), ("el/1.jpg", "mel/2.jpg"), ("lesion", "lesion.1.jpg")],
)
def test_row_is_not_matched_by_a_part_of_a_name(key, file):
    assert match_rows([key], [file]) == [[]]


def test_longer_path_takes_precedence_over_a_name():
    assert match_rows(["1.jpg", "nv/1.jpg"], ["a/nv/1.jpg", "a/mel/1.jpg"]) == [[1], [0]]


def test_row_matched_by_path_is_not_matched_to_another_file_by_name():
    assert match_rows(["mel/1.jpg"], ["mel/1.jpg", "nv/1.jpg"]) == [[0], []]


def test_row_that_matches_files_in_two_folders_gives_a_warning(tmp_path, caplog):
    metadata = read(table(tmp_path / "m.csv", [{"image": "1.jpg", "age": 50}]))
    assert join(metadata, ["mel/1.jpg", "nv/1.jpg"])["age"].tolist() == [50, 50]
    assert "1 metadata rows match several files" in caplog.text


def brute_force_match(keys, files):
    """Compare every row with every file: a direct implementation of the rules."""

    def without_suffix(path):
        return path.rsplit(".", 1)[0] if path.endswith((".jpg", ".png")) else path

    def by_path(path, names):
        longer = [r for r, key in enumerate(names) if f"/{key}".endswith(f"/{path}")]
        shorter = [r for r, key in enumerate(names) if f"/{path}".endswith(f"/{key}")]
        longest = max((len(names[r]) for r in shorter), default=0)
        return longer or [r for r in shorter if len(names[r]) == longest]

    matches = [
        by_path(f, keys) or by_path(without_suffix(f), list(map(without_suffix, keys)))
        for f in files
    ]
    unused = set(range(len(keys))) - {rows[0] for rows in matches if rows}
    names = [without_suffix(key).split("/")[-1] for key in keys]
    return [
        rows or [r for r in sorted(unused) if names[r] == without_suffix(file).split("/")[-1]]
        for rows, file in zip(matches, files, strict=True)
    ]


names = st.builds(str.__add__, st.sampled_from("ab1"), st.sampled_from(["", ".jpg", ".png", ".x"]))
paths = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from("ab1"), max_size=3),
    names,
)


@settings(max_examples=50)
@given(keys=st.lists(paths, min_size=2, max_size=9), files=st.lists(paths, min_size=2, max_size=9))
def test_indexed_matching_equals_brute_force_matching(keys, files):
    assert match_rows(keys, files) == brute_force_match(keys, files)


@settings(max_examples=20)
@given(files=st.lists(paths, unique=True, min_size=5), rng=st.randoms())
def test_row_with_a_complete_path_matches_its_file_in_any_row_order(files, rng):
    keys = [f"somewhere/{file}" for file in files]
    rng.shuffle(keys)
    for file, rows in zip(files, match_rows(keys, files), strict=True):
        assert keys.index(f"somewhere/{file}") in rows


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("ISIC_{:07d}", "train/class {0}/ISIC_{0:07d}.jpg"),
        ("old/{}/front.jpg", "new/{}/front.jpg"),  # always the same file name
        ("front.jpg", "{}/front.jpg"),
    ],
)
def test_work_grows_linearly_with_the_number_of_rows_and_files(key, file):
    def operations(n):
        keys, files = ([form.format(i) for i in range(n)] for form in (key, file))
        with count_operations() as count:
            assert len(match_rows(keys, files)) == n
        return count[0]

    # Comparing each row with each file would quadruple the work.
    assert operations(400) < 2.5 * operations(200)


@contextmanager
def count_operations():
    """Count the operations of the interpreter, which do not depend on the speed of the machine."""
    count = [0]

    def trace(frame, event, argument):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count[0] += event == "opcode"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(previous)


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


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_comma_semicolon_and_tab_separators_are_detected(tmp_path, separator, encoding, suffix):
    rows = [{"image": "日本", "age": 40, "site": "a, b; c"}]
    path = table(tmp_path / f"m{suffix}", rows, sep=separator, encoding=encoding)
    assert join(read(path), ["日本.jpg"])[["age", "site"]].iloc[0].tolist() == [40, "a, b; c"]


def test_spaces_around_column_names_and_cells_are_ignored(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image , age\n 1.jpg , 40\n")
    assert join(read(path), ["1.jpg"])["age"].tolist() == [40]


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
    "latin-1": ("image,site\na,Rücken\n".encode("latin-1"), "is not UTF-8 text .* save it as CSV"),
    "utf-16": ("image,site\na,b\n".encode("utf-16"), "UTF-16 text, because it contains zero"),
    "excel": (b"PK\x03\x04\x14,\n1,2", "is an Excel workbook .* export the table as CSV"),
    "old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook"),
    "parquet": (b"PAR1,image\n", "is a Parquet file .* Expected CSV with commas"),
    "compressed": (b"\x1f\x8b\x08", "is a gzip file"),
    "zero bytes": (b"image,site\na,b\nc,\0d\n", "is a binary file"),
    "zero bytes far behind": (b"image\n" + b"a\n" * 600_000 + b"\0", "is a binary file"),
    "too many columns": (b"image" + b",c" * 1000 + b"\n", "has 1,001 columns .*At most 1,000"),
    "no bytes": (b"", "cannot be parsed"),
    "no rows": (b"image,age\n", "has no row with a value in the column 'image'"),
    "no keys": (b"image,age\n,4\n,5\n", "has no row with a value in the column 'image'"),
    "too many cells": (b"image,age\na,4\nb,5,6,7\n", "line 3"),
    "too many cells at once": (b"image,age\na,4,5\n", "cannot be parsed"),
    "open quote": (b'image,age\n"a,4\nb,5\n', "cannot be parsed"),
    "no key column": (
        b"photo,age\na,4\n",
        "Expected one of file, image, image_id, isic_id, .*, found photo, age",
    ),
    "two of a name": (
        b"image,age,image ,age,age\na,1,b,2,3\n",
        r"several columns with the same name .*: 'image' \(2 times\), 'age' \(3 times\)",
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.timeout(60)
def test_a_pipe_is_rejected_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"not a regular file, but a pipe.*m\.csv"):
        read(tmp_path / "m.csv")


def test_missing_table_is_rejected_with_its_path(tmp_path):
    with pytest.raises(InputError, match=r"cannot be opened \(.*nowhere\.csv\): No such file"):
        read(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"cannot be opened \(.*\): Is a directory"):
        read(tmp_path)


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
