"""Metadata tables: the labels and other columns of the images.

The columns of all tables are joined by file.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.config.source import FolderSource
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.missing_values import is_missing
from skin_lesions.data.sources.column_names import KEY_COLUMNS, find_column, renamed_columns
from skin_lesions.data.sources.metadata_files import read_table
from skin_lesions.data.sources.row_matching import match_rows

log = logging.getLogger(__name__)

# Column names of the tables of this project. A metadata column with such a name is renamed.
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

_MOSTLY = 0.5  # fraction of rows with exactly one 1, in a table that is meant as one-hot
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Metadata:
    """A metadata table with one row per image.

    ``table`` has the cells as text; missing values are None. ``key`` is the column with the image
    names. If the table has labels, they come from ``label_column`` or the ``one_hot`` columns.
    """

    path: Path
    table: pd.DataFrame
    key: str
    label_column: str | None
    one_hot: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """Whether the labels come from this table instead of folder names."""
        return self.label_column is not None or bool(self.one_hot)

    def match_files(self, files: Sequence[str]) -> Rows:
        """Return the row number of each file, -1 for files without a row.

        Raises:
            InputError: Several rows match the same file, or no row matches any file.
        """
        matches = match_rows(self.table[self.key].tolist(), files)
        for file, rows in zip(files, matches, strict=True):
            if len(rows) > 1:
                raise InputError(
                    f"{len(rows)} rows of {self.path} match the file {file!r} (lines "
                    f"{self._lines(rows)}). Expected at most one row per file. Fix: delete the "
                    "other rows, or set source.metadata_key to a column with complete paths"
                )
        matched = np.array([rows[0] if rows else -1 for rows in matches], dtype=np.int64)
        if (matched < 0).all():
            raise InputError(
                f"No row of {self.path} matches any of the {len(files)} files. Its column "
                f"{self.key!r} contains e.g. {self.table[self.key].iloc[0]!r}, and the files are "
                f"named e.g. {files[0]!r}. Fix: set source.metadata_key to the column with the "
                "file names"
            )
        self._log_unmatched(matched)
        return matched

    def _lines(self, rows: Iterable[int]) -> str:
        # The header is line 1, and the index starts at 0.
        return ", ".join(str(self.table.index[row] + 2) for row in list(rows)[:5])

    def _log_unmatched(self, matched: Rows) -> None:
        used, counts = np.unique(matched[matched >= 0], return_counts=True)
        log.info(
            "Metadata %s: %d of %d files have a row, %d of %d rows have a file",
            printable(self.path.name),
            (matched >= 0).sum(),
            len(matched),
            len(used),
            len(self.table),
        )
        if (counts > 1).any():
            ambiguous = used[counts > 1]
            log.warning(
                "%d metadata rows match several files with the same name, e.g. %s. If these files "
                "show different lesions, set metadata_key to a column with complete paths",
                len(ambiguous),
                printable(self.table[self.key].iloc[ambiguous[0]]),
            )

    def labels_for(self, rows: Rows) -> list[str | None]:
        """Return the label in each of these rows, or None. Row -1 has no label."""
        if self.label_column is not None:
            labels = self.table[self.label_column]
        else:
            labels = self.table[list(self.one_hot)].apply(_indicator).idxmax(axis=1)
        cells = labels.tolist()
        return [cells[row] if row >= 0 and pd.notna(cells[row]) else None for row in rows]

    def columns_for(self, rows: Rows) -> pd.DataFrame:
        """Return these rows as text, without one-hot columns.

        Columns with a known content get its name in this project, such as ``sex`` for ``gender``.
        Reserved column names are renamed.
        """
        columns = self.table.drop(columns=list(self.one_hot)).reset_index(drop=True)
        columns = columns.rename(columns=self._renamed)
        columns.columns = pd.Index(_rename_reserved(columns.columns))
        return columns.reindex(rows).reset_index(drop=True)

    @cached_property
    def _renamed(self) -> dict[str, str]:
        renamed = renamed_columns(str(column) for column in self.table if column != self.key)
        if renamed:
            log.info(
                "Metadata %s: renamed columns: %s",
                printable(self.path.name),
                ", ".join(f"{printable(old)} to {new}" for old, new in renamed.items()),
            )
        return renamed

    def diagnosis_columns(self) -> list[str]:
        """List the columns that contain only known diagnoses, and at least two different ones."""
        distinct = {column: self.table[column].dropna().unique() for column in self.table}
        return [
            str(column)
            for column, cells in distinct.items()
            if len(cells) > 1 and all(diagnosis_of(cell) for cell in cells)
        ]


def join_metadata(
    files: Sequence[str], tables: Sequence[Metadata], rows: Sequence[Rows]
) -> pd.DataFrame:
    """Join the columns of all tables: one row per file, indexed by file.

    Raises:
        InputError: Two tables contain different values for the same file in columns with the same
            name. Only the columns with the image names may differ.
    """
    joined: dict[str, pd.Series] = {}
    for metadata, table_rows in zip(tables, rows, strict=True):
        for name, column in metadata.columns_for(table_rows).items():
            known = joined.setdefault(str(name), column)
            if name not in (metadata.key, f"metadata_{metadata.key}"):
                _check_agreement(files, known, column, metadata.path)
            joined[str(name)] = known.where(known.notna(), column)
    return pd.DataFrame(joined).apply(_infer_dtype).set_axis(list(files))


def _check_agreement(files: Sequence[str], known: pd.Series, column: pd.Series, path: Path) -> None:
    differs = known.notna() & column.notna() & known.ne(column)
    conflicts = [
        int(i)
        for i in np.flatnonzero(differs)
        if _parse_number(known[i]) != _parse_number(column[i])
    ]
    if conflicts:
        first = conflicts[0]
        raise InputError(
            f"Metadata tables contain conflicting values for {len(conflicts)} files "
            f"(source.metadata). First: {printable(column.name)} of {printable(files[first])} is "
            f"{printable(column[first])} in {path}, but {printable(known[first])} in an earlier "
            "table. Fix: correct the values, or remove this column from one of the tables"
        )


def _parse_number(cell: str) -> float | str:
    """Convert a number, so that 55 equals 55.0. Return any other text unchanged."""
    try:
        return float(cell)
    except ValueError:
        return cell


def _rename_reserved(columns: Iterable[str]) -> list[str]:
    """Add the prefix ``metadata_`` to reserved names, and to names that would occur twice."""
    renamed: list[str] = []
    for column in columns:
        name = f"metadata_{column}" if column in RESERVED_COLUMNS else column
        while name in renamed:
            name = f"metadata_{name}"
        renamed.append(name)
    return renamed


def read_metadata(source: FolderSource) -> list[Metadata]:
    """Read the tables of ``source.metadata``: CSV with commas, semicolons or tabs, in UTF-8.

    Returns:
        The tables in the given order. At most one has labels.

    Raises:
        InputError: A table does not exist, cannot be parsed or is empty; a requested column does
            not exist; or several tables have labels.
    """
    paths = [Path(name) for name in source.metadata]
    frames = {path: read_table(path) for path in paths}
    _check_column_exists("metadata_key", source.metadata_key, frames)
    _check_column_exists("label_column", source.label_column, frames)
    tables = [_metadata(path, table, source) for path, table in frames.items()]
    labeled = [table for table in tables if table.has_labels]
    if len(labeled) > 1:
        raise InputError(
            f"Two metadata tables have labels ({labeled[0].path} and {labeled[1].path}). "
            "Expected at most one. Fix: remove one of them from source.metadata"
        )
    return tables


def _check_column_exists(
    parameter: str, column: str | None, frames: Mapping[Path, pd.DataFrame]
) -> None:
    if column is not None and not any(column in table for table in frames.values()):
        available = "; ".join(f"{path} ({_names(table)})" for path, table in frames.items())
        raise InputError(
            f"Unknown column (source.{parameter}={column!r}). Expected a column of {available}"
        )


def _metadata(path: Path, table: pd.DataFrame, source: FolderSource) -> Metadata:
    key = _key_column(table, path, source.metadata_key)
    # The index is not reset, because it gives the line numbers of the file.
    table = table[table[key].notna()]
    others = table.columns.drop(key)
    table = table.assign(**{c: table[c].where(~is_missing(table[c]), None) for c in others})
    if table.empty:
        raise InputError(
            f"Metadata table has no row with a value in the column {key!r} ({path}). "
            "Expected one row per image. Fix: check source.metadata and source.metadata_key"
        )
    label_column = source.label_column if source.label_column in table else None
    one_hot = () if source.label_column else _one_hot_columns(table, path)
    return Metadata(path, table, key, label_column, one_hot)


def _key_column(table: pd.DataFrame, path: Path, requested: str | None) -> str:
    key = requested if requested in table else find_column(KEY_COLUMNS, table.columns)
    if key is None:
        raise InputError(
            f"Metadata table has no column with image names ({path}). Expected one of "
            f"{', '.join(KEY_COLUMNS)}, found {_names(table)}. "
            "Fix: set source.metadata_key to the column with the image names"
        )
    return key


def _names(table: pd.DataFrame) -> str:
    return ", ".join(printable(column) for column in table.columns)


def _one_hot_columns(table: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Return the one-hot label columns of a table, or an empty tuple.

    The columns are named by diagnoses. Each row has exactly one 1 (ISIC) or x (PH2).

    Raises:
        InputError: Most rows have exactly one 1, but some have not.
    """
    named = [column for column in table.columns if diagnosis_of(column) or column == "UNK"]
    indicators = table[named].apply(_indicator)
    columns = [str(column) for column in named if indicators[column].notna().any()]
    # Other columns are named by diagnoses too, for example those of predicted probabilities.
    valid = indicators[columns].sum(axis=1).eq(1) & indicators[columns].notna().all(axis=1)
    if len(columns) < 2 or valid.mean() < _MOSTLY:
        return ()
    if not valid.all():
        lines = [str(line + 2) for line in table.index[~valid][:5]]  # the header is line 1
        raise InputError(
            f"One-hot labels are incomplete in {pluralize(int((~valid).sum()), 'row')} of {path} "
            f"(lines {', '.join(lines)}). Expected exactly one 1 in the columns "
            f"{', '.join(map(printable, columns))}, otherwise 0. Fix: correct or delete these "
            "rows, or set source.label_column to a column with labels"
        )
    return tuple(columns)


def _indicator(cells: pd.Series) -> pd.Series:
    """Convert a one-hot column to 0 and 1; other values are missing.

    In a column that contains only x and empty cells, x is 1 and an empty cell is 0.
    """
    marks = cells.str.casefold().replace("x", "1")
    if set(cells.dropna().str.casefold()) == {"x"}:
        marks = marks.fillna("0")
    numbers = pd.to_numeric(marks, errors="coerce")
    return numbers.where(numbers.isin([0, 1]))


def _infer_dtype(column: pd.Series) -> pd.Series:
    """Convert a column that contains only numbers. Columns with identifiers stay text."""
    if not str(column.name).endswith(("id", "file", "image")):
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().eq(column.notna()).all():
            return numbers
    return column.astype(object).where(column.notna(), None)
