"""Metadata files: CSV with commas, semicolons or tabs, in UTF-8.

Files in other formats are rejected before they are parsed.
"""

import csv
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

MAX_COLUMNS = 1000  # of a metadata table; each cell takes about 50 bytes of memory
# The first bytes of other file formats in which tables are stored.
_OTHER_TABLE_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or another ZIP file",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
}


def read_table(path: Path) -> pd.DataFrame:
    """Read a metadata file as text. Cells without text are None.

    The index gives the line numbers of the file: row 0 is line 2.

    Raises:
        InputError: The file cannot be opened or parsed, has several columns with the same name, or
            has more than ``MAX_COLUMNS`` columns.
    """
    try:
        _check_is_text(path)
        separator = _separator(path)
        _check_header(path, separator)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more cells than columns
            table = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,  # data.missing_values lists what counts as missing
                encoding="utf-8-sig",
                skipinitialspace=True,
                skip_blank_lines=False,  # keeps the line numbers in error messages correct
                index_col=False,
            )
    except UnicodeDecodeError:
        raise InputError(
            f"Metadata table is not UTF-8 text ({path}). Fix: save it as CSV (UTF-8)"
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"Metadata table cannot be parsed ({path}): {printable(str(error).strip())}. "
            "Expected CSV with commas, semicolons or tabs"
        ) from None
    except OSError as error:
        raise InputError(
            f"Metadata table cannot be opened ({path}): {error.strerror}. "
            "Fix: check source.metadata"
        ) from None
    return table.rename(columns=str.strip).apply(_strip)


def _check_is_text(path: Path) -> None:
    """Check the file before it is parsed.

    Raises:
        InputError: The file is a pipe or another special file, or is binary.
        OSError: The file cannot be read.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # reading a pipe would block
        raise InputError(
            f"Metadata table is not a regular file, but a pipe, socket or device ({path}). "
            "Fix: save it as a CSV file and set source.metadata to that file"
        )
    with path.open("rb") as file:
        start = file.read(16)
        formats = [name for sign, name in _OTHER_TABLE_FORMATS.items() if start.startswith(sign)]
        chunks = iter(partial(file.read, 1 << 20), b"")
        if not formats and (b"\0" in start or any(b"\0" in chunk for chunk in chunks)):
            formats = ["a binary file or UTF-16 text, because it contains zero bytes"]
    if formats:
        raise InputError(
            f"Metadata table is {formats[0]} ({path}). Expected CSV with commas, semicolons or "
            "tabs, in UTF-8. Fix: export the table as CSV (UTF-8)"
        )


def _separator(path: Path) -> str:
    """Return the most common separator of the header.

    Raises:
        InputError: The header has more than ``MAX_COLUMNS`` columns.
    """
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline(1_000_000)  # characters
    separator = max(",;\t", key=header.count)
    columns = header.count(separator) + 1
    if columns > MAX_COLUMNS:
        raise InputError(
            f"Metadata table has {columns:,} columns ({path}). At most {MAX_COLUMNS:,} are "
            "allowed. Fix: keep only the columns with image names, labels and metadata"
        )
    return separator


def _check_header(path: Path, separator: str) -> None:
    """Reject repeated names, because pandas would rename the columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=separator, skipinitialspace=True), [])
    counts = Counter(name.strip() for name in header if name.strip())
    repeated = [f"{printable(name)!r} ({n} times)" for name, n in counts.items() if n > 1]
    if repeated:
        raise InputError(
            f"Metadata table has several columns with the same name ({path}): "
            f"{', '.join(repeated)}. Fix: rename or delete all but one of them"
        )


def _strip(cells: pd.Series) -> pd.Series:
    trimmed = cells.astype(object).str.strip()
    return trimmed.where(trimmed.ne(""), None)
