"""Tables beside the images: match their rows to files, by path, name or stem."""

import logging
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.diagnoses import diagnosis_of

log = logging.getLogger(__name__)

KEY_COLUMNS = ("file", "image", "image_id", "isic_id")
IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "jfif", "png", "bmp", "tif", "tiff", "webp", "gif"})
# Names that our own tables give a meaning; a metadata column of that name is renamed.
RESERVED_COLUMNS = frozenset(
    {
        "file",
        "image_id",
        "label",
        "original_split",
        "source",
        "filename_key",
        "width",
        "height",
        "bytes",
    }
    | {
        "format",
        "problem",
        "reason",
        "group_id",
        "pixel_id",
        "link_types",
        "split",
        "is_leaked",
        "predicted",
    }
)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Metadata:
    """One row per image: ``table`` as read, all text; ``key`` is the column that names the images."""

    path: Path
    table: pd.DataFrame
    key: str
    label_column: str | None
    one_hot: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """Whether the labels come from this table, not from folders."""
        return self.label_column is not None or bool(self.one_hot)

    def match_files(self, files: Sequence[str]) -> Rows:
        """Return the row that belongs to each file, -1 where none does.

        Raises:
            InputError: Two rows claim one file, or not one row belongs to a file.
        """
        claims = match_rows(self.table[self.key].tolist(), files)
        for file, rows in zip(files, claims, strict=True):
            if len(rows) > 1:
                raise InputError(
                    f"{len(rows)} rows of {self.path} claim the file {file!r} (lines "
                    f"{self._lines(rows)}); keep one of them, or name the column that holds whole "
                    "paths: source.metadata_key"
                )
        matched = np.array([rows[0] if rows else -1 for rows in claims], dtype=np.int64)
        if (matched < 0).all():
            raise InputError(
                f"no row of {self.path} belongs to any of the {len(files)} files: its column "
                f"{self.key!r} holds e.g. {self.table[self.key].iloc[0]!r}, the files are named "
                f"e.g. {files[0]!r}; set source.metadata_key to the column that names them"
            )
        self._log_unmatched(matched)
        return matched

    def _lines(self, rows: Iterable[int]) -> str:
        return ", ".join(str(self.table.index[row] + 2) for row in list(rows)[:5])

    def _log_unmatched(self, matched: Rows) -> None:
        used, times = np.unique(matched[matched >= 0], return_counts=True)
        log.info(
            "Metadata %s: %d of %d files have a row, %d of %d rows have a file",
            printable(self.path.name),
            (matched >= 0).sum(),
            len(matched),
            len(used),
            len(self.table),
        )
        if (times > 1).any():
            shared = used[times > 1]
            log.warning(
                "%d rows of the metadata belong to several files of that name each, e.g. %s; if those "
                "show different things, name the column that holds whole paths: source.metadata_key",
                len(shared),
                printable(self.table[self.key].iloc[shared[0]]),
            )

    def labels_for(self, rows: Rows) -> list[str | None]:
        """Return the label in each of these rows, None where there is none."""
        if self.label_column is not None:
            labels = self.table[self.label_column]
        else:
            labels = self.table[list(self.one_hot)].astype(float).idxmax(axis=1)
        cells = labels.tolist()
        return [cells[row] if row >= 0 and pd.notna(cells[row]) else None for row in rows]

    def columns_for(self, rows: Rows) -> pd.DataFrame:
        """Return what these rows say, as text; columns that have a name of ours are renamed."""
        columns = self.table.drop(columns=list(self.one_hot)).reset_index(drop=True)
        columns.columns = pd.Index(_rename_reserved(columns.columns))
        return columns.reindex(rows).reset_index(drop=True)

    def diagnosis_columns(self) -> list[str]:
        """Name the columns that hold known diagnoses and nothing else."""
        distinct = {column: self.table[column].dropna().unique() for column in self.table}
        return [
            str(column)
            for column, cells in distinct.items()
            if len(cells) > 1 and all(diagnosis_of(cell) for cell in cells)
        ]


def join_metadata(
    files: Sequence[str], tables: Sequence[Metadata], rows: Sequence[Rows]
) -> pd.DataFrame:
    """Put side by side what all tables say of each file: one row per file, indexed by file.

    Raises:
        InputError: Two tables say different things of one file in columns of one name; the columns
            that name the images may differ.
    """
    joined: dict[str, pd.Series] = {}
    for metadata, own_rows in zip(tables, rows, strict=True):
        for name, column in metadata.columns_for(own_rows).items():
            known = joined.setdefault(str(name), column)
            if name not in (metadata.key, f"metadata_{metadata.key}"):
                _check_agreement(files, known, column, metadata.path)
            joined[str(name)] = known.where(known.notna(), column)
    return pd.DataFrame(joined).apply(_infer_dtype).set_axis(list(files))


def _check_agreement(files: Sequence[str], known: pd.Series, column: pd.Series, path: Path) -> None:
    differs = known.notna() & column.notna() & known.ne(column)
    torn = [
        int(i)
        for i in np.flatnonzero(differs)
        if _parse_number(known[i]) != _parse_number(column[i])
    ]
    if torn:
        first = torn[0]
        raise InputError(
            f"source.metadata: the tables contradict each other about {len(torn)} files: "
            f"{printable(column.name)} of {printable(files[first])} is {printable(column[first])} in {path}, but "
            f"{printable(known[first])} in a table before it; correct that, or take this column out of one "
            "of them"
        )


def _parse_number(cell: str) -> float | str:
    """Read a number, so that 55 is 55.0; what is none stays as it is."""
    try:
        return float(cell)
    except ValueError:
        return cell


def match_rows(keys: Sequence[str], files: Sequence[str]) -> list[list[int]]:
    """Find the rows whose key names each file; several where the key leaves it open.

    A key names a file where one path is the end of the other: ``1.jpg``, ``a/1.jpg`` and
    ``/old/place/a/1.jpg`` all name ``a/1.jpg``, and longer keys go before shorter ones. Where none
    does, suffixes of images don't count (``a/1`` and ``a/1.png`` name ``a/1.jpg``). Files that have no
    row by then take those of their name in other folders, unless such a row is another file's.
    """
    paths = [_normalize_path(file) for file in files]
    cells = [_normalize_path(key) for key in keys]
    exact, loose = _index(cells), _index([_without_suffix(cell) for cell in cells])
    claims = [_by_path(path, exact) or _by_path(_without_suffix(path), loose) for path in paths]
    taken = {rows[0] for rows in claims if rows}
    names: dict[str, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        if row not in taken:
            names[_without_suffix(cell).rpartition("/")[2]].append(row)
    by_name = (names.get(_without_suffix(path).rpartition("/")[2], []) for path in paths)
    return [rows or other for rows, other in zip(claims, by_name, strict=True)]


class _Index(NamedTuple):
    """The rows of each key, and of each path that a key ends with."""

    whole: dict[str, list[int]]
    ends: dict[str, list[int]]


def _index(keys: Sequence[str]) -> _Index:
    index = _Index(defaultdict(list), defaultdict(list))
    for row, key in enumerate(keys):
        index.whole[key].append(row)
        for end in _path_suffixes(key):
            index.ends[end].append(row)
    return index


def _by_path(path: str, index: _Index) -> list[int]:
    shorter = (index.whole[end] for end in _path_suffixes(path) if end in index.whole)
    return index.ends.get(path) or next(shorter, [])


def _path_suffixes(path: str) -> list[str]:
    """List the paths that a path ends with: ``a/b/c``, ``b/c``, ``c``."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _normalize_path(path: str) -> str:
    # macOS names files with é as e and an accent, tables as one letter.
    return unicodedata.normalize("NFC", path.strip()).replace("\\", "/").removeprefix("./")


def _without_suffix(path: str) -> str:
    stem, _, suffix = path.rpartition(".")
    return stem if stem and suffix.casefold() in IMAGE_SUFFIXES else path


def _rename_reserved(columns: Iterable[str]) -> list[str]:
    """Put ``metadata_`` before names that are ours, and before what then stands twice."""
    renamed: list[str] = []
    for column in columns:
        name = f"metadata_{column}" if column in RESERVED_COLUMNS else column
        while name in renamed:
            name = f"metadata_{name}"
        renamed.append(name)
    return renamed


def read_metadata(source: Source) -> list[Metadata]:
    """Read the tables of ``source.metadata``: CSV with commas, semicolons or tabs, in UTF-8.

    Returns:
        One for each table, in their order; at most one has labels.

    Raises:
        InputError: One is not there, can't be parsed, is empty, or lacks a column asked for; or
            several have labels.
    """
    paths = [Path(name).expanduser() for name in source.metadata]
    read = {path: _read_table(path) for path in paths}
    _check_column_exists("metadata_key", source.metadata_key, read)
    _check_column_exists("label_column", source.label_column, read)
    tables = [_metadata(path, table, source) for path, table in read.items()]
    labelled = [table for table in tables if table.has_labels]
    if len(labelled) > 1:
        raise InputError(
            f"source.metadata: both {labelled[0].path} and {labelled[1].path} have labels; leave one "
            "of them out"
        )
    return tables


def _check_column_exists(
    parameter: str, asked: str | None, read: Mapping[Path, pd.DataFrame]
) -> None:
    if asked is not None and not any(asked in table for table in read.values()):
        there = "; ".join(f"{path}; it has {_names(table)}" for path, table in read.items())
        raise InputError(f"source.{parameter} {asked!r} is not a column of {there}")


def _metadata(path: Path, table: pd.DataFrame, source: Source) -> Metadata:
    key = _key_column(table, path, source.metadata_key)
    # The index stays: it tells the lines of the file.
    table = table[table[key].notna()]
    if table.empty:
        raise InputError(f"source.metadata {path} has no row with a {key!r}; is it the right file?")
    label_column = source.label_column if source.label_column in table else None
    one_hot = () if source.label_column else _one_hot_columns(table)
    return Metadata(path, table, key, label_column, one_hot)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells beyond the header
            table = pd.read_csv(
                path,
                sep=_separator(path),
                dtype=str,
                encoding="utf-8-sig",
                skipinitialspace=True,
                skip_blank_lines=False,  # or the line numbers in our errors would be wrong
                index_col=False,
            )
    except UnicodeDecodeError:
        raise InputError(
            f"source.metadata {path} is not text in UTF-8; save it as CSV (UTF-8)"
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"source.metadata {path} can't be read as a table: {printable(str(error).strip())}"
        ) from None
    except OSError as error:
        raise InputError(f"source.metadata {path} can't be opened: {error.strerror}") from None
    table = table.rename(columns=str.strip).apply(_strip)
    if not table.columns.is_unique:
        raise InputError(f"source.metadata {path} has two columns of one name: {_names(table)}")
    return table


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _strip(cells: pd.Series) -> pd.Series:
    trimmed = cells.astype(object).str.strip()
    return trimmed.where(trimmed.ne(""), None)


def _key_column(table: pd.DataFrame, path: Path, asked: str | None) -> str:
    key = next((column for column in (asked, *KEY_COLUMNS) if column in table), None)
    if key is None:
        raise InputError(
            f"{path} has none of the columns {', '.join(KEY_COLUMNS)}, but {_names(table)}; "
            "set source.metadata_key to the one that names the images"
        )
    return key


def _names(table: pd.DataFrame) -> str:
    return ", ".join(printable(column) for column in table.columns)


def _one_hot_columns(table: pd.DataFrame) -> tuple[str, ...]:
    """Find the label columns of ISIC's ground-truth tables: diagnoses, exactly one 1 in each row."""
    diagnoses = [c for c in table.columns if diagnosis_of(c) or c == "UNK"]
    binary = [c for c in diagnoses if table[c].isin(["0", "1", "0.0", "1.0"]).all()]
    if len(binary) < 2 or not table[binary].astype(float).sum(axis=1).eq(1).all():
        return ()
    return tuple(binary)


def _infer_dtype(column: pd.Series) -> pd.Series:
    """Make numbers of a column that holds nothing else, but never of identifiers."""
    if not str(column.name).endswith(("id", "file", "image")):
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().eq(column.notna()).all():
            return numbers
    return column.astype(object).where(column.notna(), None)
