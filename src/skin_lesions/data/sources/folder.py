"""Open a source of images: which files there are, and what it says of each.

Layouts of a folder: ``train|val|test/<class>/...``, ``<class>/...``, or any with the labels in a
metadata table.
"""

import logging
import os
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.data.sources.filename_keys import filename_keys, normalize_name
from skin_lesions.data.sources.metadata import (
    IMAGE_SUFFIXES,
    Metadata,
    Rows,
    join_metadata,
    read_metadata,
)

log = logging.getLogger(__name__)
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
MAX_BYTES = 1 << 30  # of one file, which is read whole
_NOT_IMAGES = {"thumbs.db", "desktop.ini", "__macosx"}


def open_folder(folder: Path, name: str, source: Source, origin: dict[str, Any]) -> SourceFiles:
    """List the files of a folder and read their labels."""
    tables = read_metadata(source)
    paths = _list_files(folder, [table.path for table in tables])
    if not paths:
        raise InputError(f"source.folder {folder} holds no files; is it the right folder?")
    files = list(paths)
    rows = [metadata.match_files(files) for metadata in tables]
    labelled = [pair for pair in zip(tables, rows, strict=True) if pair[0].has_labels]
    if labelled:
        table = _from_metadata(files, *labelled[0])
    else:
        table = _from_class_folders(files, folder)
        _warn_unused_diagnoses(table["label"], tables)
    table.insert(3, "source", name)
    table.insert(4, "filename_key", filename_keys(table["file"].tolist(), source.filename_pattern))
    if tables:
        table = table.join(join_metadata(files, tables, rows), on="file")
    given = {"metadata": list(source.metadata), "filename_pattern": source.filename_pattern}
    return SourceFiles(table, partial(_read_file, paths), {**origin, **given})


def existing_folder(name: str | None) -> Path:
    """Return the folder with this name."""
    if not name:
        raise InputError(
            "source.kind is folder, but source.folder is not set; "
            "give it with: --params source.folder=/path/to/images"
        )
    folder = Path(name).expanduser().resolve()
    if folder.is_file():
        raise InputError(
            f"source.folder {folder} is a file; unpack it, and name the folder it gives"
        )
    if not folder.is_dir():
        raise InputError(f"source.folder {folder} is not a folder (or can't be seen from here)")
    return folder


def _list_files(folder: Path, metadata: Sequence[Path]) -> dict[str, Path]:
    """List what could be an image: where each file lies, by its relative path with slashes.

    Links to folders are followed, unless they lead back to where they lie.
    """
    found: dict[str, Path] = {}
    for where, folders, names in os.walk(
        folder, onerror=_raise_unreadable_folder, followlinks=True
    ):
        folders[:] = [
            name for name in folders if _is_content(name) and not _is_symlink_cycle(where, name)
        ]
        for name in names:
            path = Path(where, name)
            if _is_content(name) and not any(_is_same_file(path, table) for table in metadata):
                found[_decodable_name(path.relative_to(folder).as_posix())] = path
    return dict(sorted(found.items()))


def _raise_unreadable_folder(error: OSError) -> None:
    raise InputError(f"the folder {printable(error.filename)} can't be listed: {error.strerror}")


def _is_content(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_IMAGES


def _is_symlink_cycle(where: str, name: str) -> bool:
    path = Path(where, name)
    if not path.is_symlink():
        return False
    return path.resolve() in {parent.resolve() for parent in path.parents}


def _is_same_file(path: Path, other: Path) -> bool:
    return path.name == other.name and path.resolve() == other.resolve()


def _decodable_name(name: str) -> str:
    """Spell out bytes of a file name that are not UTF-8: no table could hold them."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _read_file(paths: Mapping[str, Path], file: str) -> bytes:
    path = paths[file]
    if path.is_symlink() and not path.exists():
        raise OSError(f"it is a link to {printable(path.readlink())}, which is not there")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait forever
        raise OSError("it is a pipe, socket or device, not a file")
    if status.st_size > MAX_BYTES:
        raise OSError(f"it has {status.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
    return path.read_bytes()


def _from_metadata(files: Sequence[str], metadata: Metadata, rows: Rows) -> pd.DataFrame:
    """Take the files that the metadata name, with the labels they give: file, label, original_split."""
    labelled = zip(files, map(_as_label, metadata.labels_for(rows)), rows, strict=True)
    found = [(file, label, _parse_split(file)[0]) for file, label, row in labelled if row >= 0]
    _warn_excluded(len(files) - len(found), f"the metadata {metadata.path}")
    return _table(found)


def _from_class_folders(files: Sequence[str], folder: Path) -> pd.DataFrame:
    """Read split and class from the paths: file, label, original_split."""
    parted = [(file, *_parse_split(file)) for file in files]
    if not any(split and len(rest) > 1 for _, split, rest in parted):
        depth = _wrapper_depth([file for file in files if _looks_like_image(file)] or files)
        parted = [(file, None, PurePosixPath(file).parts[depth:]) for file in files]
    else:
        parted = [part for part in parted if part[1]]
    found = [
        (file, _as_label(rest[0]), split)
        for file, split, rest in parted
        if len(rest) > 1 and rest[0].casefold() not in SPLIT_FOLDERS
    ]
    if not found:
        raise InputError(
            f"none of the {len(files)} files in {folder} lies in a class folder, as in "
            "train/<class>/image.jpg or <class>/image.jpg (or give source.metadata and "
            "source.label_column for labels from a table)"
        )
    _warn_excluded(len(files) - len(found), "class folders")
    return _table(found)


def _warn_unused_diagnoses(labels: pd.Series, tables: Sequence[Metadata]) -> None:
    """Warn of folders that merely part the images, as the two of HAM10000 do."""
    columns = [column for metadata in tables for column in metadata.diagnosis_columns()]
    if columns and not any(diagnosis_of(label) for label in labels.unique()):
        log.warning(
            "The labels are the names of folders, e.g. %s, none of which is a known diagnosis, but the "
            "column %s of the metadata holds diagnoses; to take those: source.label_column=%s",
            *map(printable, (labels.iloc[0], columns[0], columns[0])),
        )


def _as_label(name: str | None) -> str | None:
    return normalize_name(name).strip() if name is not None else None


def _warn_excluded(files: int, where: str) -> None:
    if files:
        log.warning("%d files lie outside %s and are left out", files, where)


def _table(found: Sequence[tuple[str, str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["file", "label", "original_split"], dtype=object)


def _parse_split(file: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that a folder on the path names, and the parts of the path below it."""
    parts = PurePosixPath(file).parts
    for depth, part in enumerate(parts[:-1]):
        if part.casefold() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[part.casefold()], parts[depth + 1 :]
    return None, parts


def _looks_like_image(file: str) -> bool:
    return PurePosixPath(file).suffix.removeprefix(".").casefold() in IMAGE_SUFFIXES


def _wrapper_depth(files: Sequence[str]) -> int:
    """Count the folders that merely wrap the class folders, as unpacked archives do."""
    paths = [PurePosixPath(file).parts for file in files]
    depth = 0
    while True:
        below = [path[depth:] for path in paths if len(path) > depth + 1]  # the rest has no class
        is_one_folder = len({path[0] for path in below}) == 1
        if not is_one_folder or any(len(path) == 2 for path in below):  # a file: it is the class
            return depth
        depth += 1
