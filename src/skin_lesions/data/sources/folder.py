"""Image folders: their files, labels and original splits.

Supported layouts are ``train|val|test/<class>/...`` and ``<class>/...``. Any other layout works if
a metadata table contains the labels.
"""

import logging
import os
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import normalize_name, printable
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources.base import SourceFiles, has_image_suffix
from skin_lesions.data.sources.filename_keys import filename_keys
from skin_lesions.data.sources.metadata import Metadata, Rows, join_metadata, read_metadata

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
MAX_BYTES = 128 << 20  # bytes; each thread reads one file into memory
_NOT_IMAGES = {"thumbs.db", "desktop.ini", "__macosx"}


def open_folder(folder: Path, name: str, source: Source, origin: Origin) -> SourceFiles:
    """List the files of a folder and read their labels.

    Raises:
        InputError: The folder contains no files or no labels, a linked folder is outside of it, or
            the metadata cannot be used.
    """
    tables = read_metadata(source)
    # Links that leave this folder are not followed.
    boundary = None if source.follow_symlinks else folder.resolve()
    paths = _list_files(folder, [table.path for table in tables], boundary)
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
        table = _from_class_folders(files, folder)
        _warn_unused_diagnoses(table["label"], tables)
    table.insert(3, "source", name)
    table.insert(4, "filename_key", filename_keys(table["file"].tolist(), source.filename_pattern))
    if tables:
        table = table.join(join_metadata(files, tables, rows), on="file")
    parameters = {"metadata": source.metadata, "filename_pattern": source.filename_pattern}
    return SourceFiles(
        table, partial(_read_file, paths, boundary), origin.model_copy(update=parameters)
    )


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
    folder = Path(name).expanduser().resolve()
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


def _list_files(folder: Path, metadata: Sequence[Path], boundary: Path | None) -> dict[str, Path]:
    """List all files that could be images: relative path with slashes -> path of the file.

    Symbolic links to folders are followed, except links to a parent folder of the link.

    Raises:
        InputError: A link leads to a folder outside of the boundary, or a folder cannot be listed.
    """
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(
        folder, onerror=_raise_unreadable_folder, followlinks=True
    ):
        folders[:] = [
            name for name in folders if _is_content(name) and not _is_symlink_cycle(parent, name)
        ]
        for name in folders:
            _check_linked_folder(Path(parent, name), boundary)
        for name in names:
            path = Path(parent, name)
            if not _is_content(name) or _is_one_of(path, metadata):
                continue
            relative = path.relative_to(folder).as_posix()
            # Bytes that are not UTF-8 are escaped, because tables cannot store them.
            found[os.fsencode(relative).decode(errors="backslashreplace")] = path
    return dict(sorted(found.items()))


def _raise_unreadable_folder(error: OSError) -> None:
    raise InputError(f"Folder cannot be listed ({printable(error.filename)}): {error.strerror}")


def _is_content(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_IMAGES


def _is_symlink_cycle(parent: str, name: str) -> bool:
    path = Path(parent, name)
    if not path.is_symlink():
        return False
    return path.resolve() in {ancestor.resolve() for ancestor in path.parents}


def _check_linked_folder(path: Path, boundary: Path | None) -> None:
    if _leaves(path, boundary):
        raise InputError(
            f"Symbolic link leads out of the source folder ({printable(path)} -> "
            f"{printable(path.resolve())}). Such links are not followed by default. "
            "Fix: set source.follow_symlinks=true to read the linked folder, or delete the link"
        )


def _leaves(path: Path, boundary: Path | None) -> bool:
    """Return whether a path is a symbolic link to a target outside of the boundary."""
    return (
        boundary is not None and path.is_symlink() and not path.resolve().is_relative_to(boundary)
    )


def _is_one_of(path: Path, others: Sequence[Path]) -> bool:
    # Names are compared first, because resolving the links of every image would take long.
    return any(path.name == other.name and path.resolve() == other.resolve() for other in others)


def _read_file(paths: Mapping[str, Path], boundary: Path | None, file: str) -> bytes:
    path = paths[file]
    if path.is_symlink() and not path.exists():
        raise OSError(f"broken link: {printable(path.readlink())} does not exist")
    if _leaves(path, boundary):
        raise OSError(
            "symbolic link that leads out of the source folder; to read its target, set "
            "source.follow_symlinks=true"
        )
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise OSError("not a regular file, but a pipe, socket or device")
    if status.st_size > MAX_BYTES:
        raise OSError(f"too large: {status.st_size:,} bytes, at most {MAX_BYTES:,} are allowed")
    return path.read_bytes()


def _from_metadata(files: Sequence[str], metadata: Metadata, rows: Rows) -> pd.DataFrame:
    """Select the files with a row in the metadata: (file, label, original_split)."""
    labels = metadata.labels_for(rows)
    found = [
        (file, _as_label(label), _parse_split(file)[0])
        for file, label, row in zip(files, labels, rows, strict=True)
        if row >= 0
    ]
    _warn_excluded(len(files) - len(found), f"the metadata {metadata.path}")
    return _table(found)


def _from_class_folders(files: Sequence[str], folder: Path) -> pd.DataFrame:
    """Read split and class from the paths: (file, label, original_split).

    Raises:
        InputError: No file is in a class folder.
    """
    parsed = [(file, *_parse_split(file)) for file in files]  # (file, split, path below split)
    if not any(split and len(rest) > 1 for _, split, rest in parsed):
        depth = _wrapper_depth([file for file in files if has_image_suffix(file)] or files)
        parsed = [(file, None, PurePosixPath(file).parts[depth:]) for file in files]
    else:
        parsed = [entry for entry in parsed if entry[1]]
    found = [
        (file, _as_label(rest[0]), split)
        for file, split, rest in parsed
        if len(rest) > 1 and rest[0].casefold() not in SPLIT_FOLDERS
    ]
    if not found:
        raise InputError(
            f"None of the {len(files)} files in {folder} is in a class folder. "
            "Expected train/<class>/image.jpg or <class>/image.jpg. "
            "Fix: rename the folders, or read the labels from a table with source.metadata and "
            "source.label_column"
        )
    _warn_excluded(len(files) - len(found), "class folders")
    return _table(found)


def _warn_unused_diagnoses(labels: pd.Series, tables: Sequence[Metadata]) -> None:
    """Warn if the folders do not name classes, e.g. the two image folders of HAM10000."""
    columns = [column for metadata in tables for column in metadata.diagnosis_columns()]
    if columns and not any(diagnosis_of(label) for label in labels.unique()):
        column = printable(columns[0])
        log.warning(
            "Labels were read from folder names, e.g. %s, but none is a known diagnosis. The "
            "metadata column %s contains diagnoses. To use it: source.label_column=%s",
            printable(labels.iloc[0]),
            column,
            column,
        )


def _as_label(name: str | None) -> str | None:
    return normalize_name(name).strip() if name is not None else None


def _warn_excluded(files: int, where: str) -> None:
    if files:
        log.warning("Skipped %d files that are not in %s", files, where)


def _table(found: Sequence[tuple[str, str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["file", "label", "original_split"], dtype=object)


def _parse_split(file: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split from the first split folder of a path, and the path components below it."""
    parts = PurePosixPath(file).parts
    for depth, name in enumerate(parts[:-1]):
        if name.casefold() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[name.casefold()], parts[depth + 1 :]
    return None, parts


def _wrapper_depth(files: Sequence[str]) -> int:
    """Return the number of folder levels above the class folders.

    Unpacked archives often have such a wrapper: a single folder that contains all class folders.
    """
    paths = [PurePosixPath(file).parts for file in files]
    depth = 0
    while True:
        below = [path[depth:] for path in paths if len(path) > depth + 1]  # with a folder
        is_one_folder = len({path[0] for path in below}) == 1
        # A folder that contains a file is a class folder.
        if not is_one_folder or any(len(path) == 2 for path in below):
            return depth
        depth += 1
