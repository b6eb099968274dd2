"""Image folders: their files, labels and original splits.

The labels come from class folders, or from a metadata table, which works with any folder layout.
"""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from skin_lesions.config.source import FolderSource
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.data.sources.file_listing import list_files, read_file
from skin_lesions.data.sources.filename_keys import filename_keys
from skin_lesions.data.sources.folder_layout import as_label, parse_class_folders, parse_split
from skin_lesions.data.sources.metadata import Metadata, Rows, join_metadata, read_metadata

log = logging.getLogger(__name__)


def open_folder(folder: Path, name: str, source: FolderSource, origin: Origin) -> SourceFiles:
    """List the files of a folder and read their labels.

    Raises:
        InputError: The folder contains no files or no labels, a linked folder is outside of it, or
            the metadata cannot be used.
    """
    tables = read_metadata(source)
    # Links that leave this folder are not followed.
    boundary = None if source.follow_symlinks else folder.resolve()
    paths, empty_folders = list_files(folder, [table.path for table in tables], boundary)
    if not paths:
        raise InputError(
            f"No files found in the folder (source.folder={folder}). Expected image files. "
            "Fix: --params source.folder=/path/to/images"
        )
    files = list(paths)
    rows = [metadata.match_files(files) for metadata in tables]
    labeled = [i for i, metadata in enumerate(tables) if metadata.has_labels]
    if labeled:
        table = _from_metadata(files, tables[labeled[0]], rows[labeled[0]])
    else:
        table = _from_class_folders(files, empty_folders, folder, tables)
    table.insert(3, "source", name)
    table.insert(4, "filename_key", filename_keys(table["file"].tolist(), source.filename_pattern))
    if tables:
        table = table.join(join_metadata(files, tables, rows), on="file")
    names = {"metadata", "metadata_key", "label_column", "filename_pattern"}
    parameters = source.model_dump(include=names)
    # Validated, so that the paths of the tables are shortened.
    complete = Origin.model_validate({**dict(origin), **parameters})
    return SourceFiles(table, partial(read_file, paths, boundary), complete)


def existing_folder(name: str | None) -> Path:
    """Return the absolute path of an existing folder.

    Raises:
        InputError: The name is not set, or is not a folder.
    """
    if not name:
        raise InputError(
            "source.folder is not set. It is required for source.kind=folder. "
            "Fix: --params source.folder=/path/to/images"
        )
    folder = Path(name).resolve()
    if folder.is_file():
        raise InputError(
            f"source.folder is a file ({folder}). Expected a folder. "
            "Fix: unpack the file and set source.folder to the unpacked folder"
        )
    if not folder.is_dir():
        raise InputError(
            f"source.folder is not a folder ({folder}). Expected an existing folder that this "
            "machine can access. Fix: --params source.folder=/path/to/images"
        )
    return folder


def _from_metadata(files: Sequence[str], metadata: Metadata, rows: Rows) -> pd.DataFrame:
    """Select the files with a row in the metadata: (file, label, original_split)."""
    labels = metadata.labels_for(rows)
    found = [
        (file, as_label(label), parse_split(file)[0])
        for file, label, row in zip(files, labels, rows, strict=True)
        if row >= 0
    ]
    _warn_excluded(len(files) - len(found), f"the metadata {printable(metadata.path.name)}")
    return _table(found)


def _from_class_folders(
    files: Sequence[str],
    empty_folders: Sequence[str],
    folder: Path,
    tables: Sequence[Metadata],
) -> pd.DataFrame:
    """Select the files in class folders: (file, label, original_split)."""
    columns = [column for metadata in tables for column in metadata.diagnosis_columns()]
    found = parse_class_folders(files, empty_folders, folder, columns)
    _warn_excluded(len(files) - len(found), "class folders")
    table = _table(found)
    _warn_unused_diagnoses(table["label"], columns)
    return table


def _warn_unused_diagnoses(labels: pd.Series, diagnosis_columns: Sequence[str]) -> None:
    """Warn if the folders do not name classes, e.g. the two image folders of HAM10000."""
    if diagnosis_columns and not any(diagnosis_of(label) for label in labels.unique()):
        column = printable(diagnosis_columns[0])
        log.warning(
            "Labels were read from folder names, e.g. %s, but none is a known diagnosis. The "
            "metadata column %s contains diagnoses. To use it, set label_column to %s",
            printable(labels.iloc[0]),
            column,
            column,
        )


def _warn_excluded(files: int, where: str) -> None:
    if files:
        log.warning("Skipped %d files that are not in %s", files, where)


def _table(found: Sequence[tuple[str, str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["file", "label", "original_split"], dtype=object)
