"""A table beside the images: match its rows to files, by path, name or stem."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.errors import InputError
from skin_lesions.labels import diagnosis_of
from skin_lesions.parameters import Source

KEY_COLUMNS = ("file", "image", "image_id", "isic_id")
# Names that our own tables give a meaning; a metadata column of that name is renamed.
OUR_COLUMNS = frozenset(
    ["file", "image_id", "label", "shipped_split", "source", "name_key", "width", "height", "bytes", "format", "split", "group_id", "leaked", "evidence", "problem", "reason", "predicted"]
)


@dataclass(frozen=True)
class Metadata:
    """One row per image: ``table`` as read (text), indexed by the cells of the key column."""

    path: Path
    table: pd.DataFrame
    label_column: str | None
    one_hot: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """Whether the labels come from this table, not from folders."""
        return self.label_column is not None or bool(self.one_hot)

    def row_of(self, files: Sequence[str]) -> pd.Series:
        """Return the row number that belongs to each file, -1 where none does.

        A path in the key column may be longer or shorter than ours; where paths don't match, the
        file's name does, then its stem. One row may belong to several files (the same photograph
        in two folders), a file to one row only.

        Raises:
            InputError: Two rows claim one file.
        """
        keys = [key.replace("\\", "/").removeprefix("./") for key in self.table.index]
        rows_by_key: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            for suffix in {key, PurePosixPath(key).name, PurePosixPath(key).stem}:
                rows_by_key.setdefault(suffix, []).append(row)
        return pd.Series([self._one_row(file, rows_by_key, keys) for file in files], dtype=int)

    def _one_row(self, file: str, rows_by_key: dict[str, list[int]], keys: list[str]) -> int:
        path = PurePosixPath(file)
        for candidate in (file, path.name, path.stem):
            rows = rows_by_key.get(candidate, [])
            same_path = [row for row in rows if _one_ends_with_other(keys[row], file)]
            rows = same_path or [row for row in rows if candidate != file]
            if len(rows) > 1:
                raise InputError(
                    f"{len(rows)} rows of {self.path} claim the file {file} (lines "
                    f"{', '.join(str(row + 2) for row in rows[:5])}); keep one of them, or name the "
                    "column that holds whole paths: source.metadata_key"
                )
            if rows:
                return rows[0]
        return -1

    def names(self, files: Sequence[str]) -> pd.Series:
        """Say which files the table names."""
        return self.row_of(files) >= 0

    def labels_of(self, files: Sequence[str]) -> pd.Series:
        """Return the label of each file, None where the table has none."""
        rows = self.row_of(files)
        if self.label_column is not None:
            labels = self.table[self.label_column]
        else:
            labels = _label_of_one_hot(self.table[list(self.one_hot)])
        taken = labels.reset_index(drop=True).reindex(rows).reset_index(drop=True)
        return taken.astype(object).where(taken.notna(), None)

    def join_to(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add the columns of the metadata to a table of files; never override ours.

        Raises:
            InputError: Not one row belongs to a file.
        """
        rows = self.row_of(table["file"].tolist())
        if (rows < 0).all():
            raise InputError(
                f"no row of {self.path} belongs to any of the {len(table)} files: its column "
                f"{self.table.index.name!r} holds e.g. {self.table.index[0]!r}, the files are named "
                f"e.g. {table['file'].iloc[0]!r}; set source.metadata_key to the column that names them"
            )
        columns = self.table.reset_index()
        columns = columns.drop(columns=list(self.one_hot))
        columns.columns = [f"metadata_{c}" if c in OUR_COLUMNS else c for c in columns.columns]
        joined = columns.reindex(rows).set_axis(table.index)
        return pd.concat([table, joined.apply(_typed)], axis=1)


def read_metadata(path: Path, source: Source) -> Metadata:
    """Read the table of ``source.metadata`` (CSV, or TSV by its suffix).

    Raises:
        InputError: It is not there, can't be parsed, or lacks the column to match by.
    """
    separator = "\t" if path.suffix.casefold() in (".tsv", ".tab") else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"source.metadata {path} does not exist") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"source.metadata {path} can't be read as a table: {error}") from None
    key = _key_column(table, path, source.metadata_key)
    if source.label_column is not None and source.label_column not in table:
        raise InputError(
            f"source.label_column {source.label_column!r} is not a column of {path}; "
            f"it has {', '.join(table.columns)}"
        )
    one_hot = () if source.label_column else _one_hot_columns(table)
    table = table[table[key].notna()].set_index(key)
    return Metadata(path, table, source.label_column, one_hot)


def _key_column(table: pd.DataFrame, path: Path, asked: str | None) -> str:
    if asked is not None and asked not in table:
        raise InputError(
            f"source.metadata_key {asked!r} is not a column of {path}; it has {', '.join(table)}"
        )
    key = asked or next((column for column in KEY_COLUMNS if column in table), None)
    if key is None:
        raise InputError(
            f"{path} has none of the columns {', '.join(KEY_COLUMNS)}, but {', '.join(table)}; "
            "set source.metadata_key to the one that names the images"
        )
    return key


def _one_hot_columns(table: pd.DataFrame) -> tuple[str, ...]:
    """Find the label columns of ISIC's ground-truth tables: diagnoses, exactly one 1 in each row."""
    diagnoses = [c for c in table.columns if diagnosis_of(c) or c == "UNK"]
    binary = [c for c in diagnoses if table[c].isin(["0", "1", "0.0", "1.0"]).all()]
    if len(binary) < 2 or not table[binary].astype(float).sum(axis=1).eq(1).all():
        return ()
    return tuple(binary)


def _label_of_one_hot(one_hot: pd.DataFrame) -> pd.Series:
    return one_hot.astype(float).idxmax(axis=1)


def _one_ends_with_other(first: str, second: str) -> bool:
    return first == second or first.endswith("/" + second) or second.endswith("/" + first)


def _typed(column: pd.Series) -> pd.Series:
    """Make numbers of a column that holds nothing else, but never of identifiers."""
    if not str(column.name).endswith(("id", "file", "image")):
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().eq(column.notna()).all():
            return numbers
    return column.astype(object).where(column.notna(), None)
