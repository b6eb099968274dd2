import os

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.metadata_files import read_table
from support.factories import table


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_comma_semicolon_and_tab_separators_are_detected(tmp_path, separator, encoding, suffix):
    rows = [{"image": "日本", "age": 40, "site": "a, b; c"}]
    path = table(tmp_path / f"m{suffix}", rows, sep=separator, encoding=encoding)
    assert read_table(path).to_dict("records") == [
        {"image": "日本", "age": "40", "site": "a, b; c"}
    ]


def test_spaces_around_column_names_and_cells_are_ignored(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image , age\n 1.jpg , 40\n")
    assert read_table(path).to_dict("records") == [{"image": "1.jpg", "age": "40"}]


BAD_FILES = {
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
    "too many cells": (b"image,age\na,4\nb,5,6,7\n", "line 3"),
    "too many cells at once": (b"image,age\na,4,5\n", "cannot be parsed"),
    "open quote": (b'image,age\n"a,4\nb,5\n', "cannot be parsed"),
    "two of a name": (
        b"image,age,image ,age,age\na,1,b,2,3\n",
        r"several columns with the same name .*: 'image' \(2 times\), 'age' \(3 times\)",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_unusable_file_is_rejected_with_its_path_and_the_reason(tmp_path, kind):
    data, reason = BAD_FILES[kind]
    path = tmp_path / "m.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as error:
        read_table(path)
    assert str(path) in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.timeout(60)
def test_a_pipe_is_rejected_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"not a regular file, but a pipe.*m\.csv"):
        read_table(tmp_path / "m.csv")


def test_missing_table_is_rejected_with_its_path(tmp_path):
    with pytest.raises(InputError, match=r"cannot be opened \(.*nowhere\.csv\): No such file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"cannot be opened \(.*\): Is a directory"):
        read_table(tmp_path)
