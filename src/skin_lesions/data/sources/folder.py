"""Image folders: their files, labels and original splits.

Supported layouts are ``train|val|test/<class>/...``, ``<class>/train|val|test/...`` and
``<class>/...``. Any other layout works if a metadata table contains the labels.
"""

import logging
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import encodable, normalize_name, pluralize, printable
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
    paths, empty_folders = _list_files(folder, [table.path for table in tables], boundary)
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
        _warn_unused_diagnoses(table["label"], tables)
    table.insert(3, "source", name)
    table.insert(4, "filename_key", filename_keys(table["file"].tolist(), source.filename_pattern))
    if tables:
        table = table.join(join_metadata(files, tables, rows), on="file")
    names = {"metadata", "metadata_key", "label_column", "filename_pattern"}
    parameters = source.model_dump(include=names)
    # Validated, so that the paths of the tables are shortened.
    complete = Origin.model_validate({**dict(origin), **parameters})
    return SourceFiles(table, partial(_read_file, paths, boundary), complete)


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


def check_outside(folder: Path, data_root: Path) -> None:
    """Check that neither folder contains the other, also through links below the source folder.

    Otherwise, the files that a run stores in the data root would be images of the next run.

    Args:
        folder: Existing source folder.
        data_root: Data root, which does not exist before the first run.

    Raises:
        InputError: One of them contains the other.
    """
    if _contains(data_root, folder):
        raise InputError(
            f"source.folder ({folder}) is inside the data root ({data_root}). Expected separate "
            "folders. Fix: move the images, or choose another data root with --params "
            "data_root=/path"
        )
    inside = [folder, *(parent for parent, _, _ in _walk(folder) if parent.is_symlink())]
    for part in inside:
        if _contains(part, data_root):
            raise InputError(
                f"The data root ({data_root}) is inside the source folder ({part}). Expected "
                "separate folders. Fix: choose another data root with --params data_root=/path"
            )


def _contains(folder: Path, path: Path) -> bool:
    """Return whether a folder contains a path, or is that path, after all links are followed."""
    resolved = path.resolve()
    # Compares files instead of names: a file system may ignore case.
    return folder.exists() and any(
        part.samefile(folder) for part in (resolved, *resolved.parents) if part.exists()
    )


def _list_files(
    folder: Path, metadata: Sequence[Path], boundary: Path | None
) -> tuple[dict[str, Path], list[str]]:
    """List all files that could be images, and the empty folders.

    Returns:
        Relative path with slashes -> path of the file.

        The relative paths of the folders that contain neither such files nor folders.

    Raises:
        InputError: A link leads to a folder outside of the boundary, or a folder cannot be listed.
    """
    found: dict[str, Path] = {}
    empty_folders: list[str] = []
    for parent, folders, names in _walk(folder):
        for name in folders:
            _check_linked_folder(parent / name, boundary)
        paths = [parent / name for name in names if _is_content(name)]
        if not folders and not paths:
            empty_folders.append(encodable(parent.relative_to(folder).as_posix()))
        for path in paths:
            if not _is_one_of(path, metadata):
                found[encodable(path.relative_to(folder).as_posix())] = path
    return dict(sorted(found.items())), sorted(empty_folders)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder that could contain images, with the names of its folders and files.

    Symbolic links to folders are followed, except links to a parent folder of the link.
    """
    for parent, folders, names in os.walk(
        folder, onerror=_raise_unreadable_folder, followlinks=True
    ):
        folders[:] = [
            name for name in folders if _is_content(name) and not _is_symlink_cycle(parent, name)
        ]
        yield Path(parent), folders, names


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
        raise OSError(f"broken link: {printable(path.readlink().name)} does not exist")
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
    _warn_excluded(len(files) - len(found), f"the metadata {printable(metadata.path.name)}")
    return _table(found)


def _from_class_folders(
    files: Sequence[str],
    empty_folders: Sequence[str],
    folder: Path,
    tables: Sequence[Metadata],
) -> pd.DataFrame:
    """Read split and class from the paths: (file, label, original_split).

    Raises:
        InputError: No file is in a class folder, a class has only empty folders, only some of the
            class folders contain split folders, or it is unclear which folders are classes.
    """
    classes_on_top = _classes_are_on_top(files, folder)
    depth = 0
    if classes_on_top:
        depth = _wrapper_depth([file for file in files if has_image_suffix(file)] or files)
    parse = partial(_parse_class, classes_on_top=classes_on_top, depth=depth)
    parsed = {file: parse(file) for file in files}
    found = [(file, _as_label(label), split) for file, (label, split) in parsed.items() if label]
    if not found:
        columns = [column for metadata in tables for column in metadata.diagnosis_columns()]
        column = printable(columns[0]) if columns else "<column>"
        raise InputError(
            f"None of the {len(files)} files in {folder} is in a class folder. "
            "Expected train/<class>/image.jpg, <class>/train/image.jpg or <class>/image.jpg. "
            "Fix: rename the folders, or read the labels from a table with source.metadata and "
            f"source.label_column={column}"
        )
    if classes_on_top:
        _check_all_or_none_split(found)
    labels = {label for _, label, _ in found}
    empty = {_as_label(parse(f"{name}/*")[0]) for name in empty_folders}
    _check_no_empty_class(sorted(name for name in empty - labels if name), folder)
    _warn_excluded(len(files) - len(found), "class folders")
    return _table(found)


def _classes_are_on_top(files: Sequence[str], folder: Path) -> bool:
    """Return whether class folders are at the top. They may then contain split folders.

    Raises:
        InputError: Both the folders above and below the split folders could be classes.
    """
    # Folder that contains split folders -> names of the folders below them.
    below: dict[str, set[str]] = {}
    for file in filter(has_image_suffix, files):
        split, rest = _parse_split(file)
        if split:
            above = "/".join(PurePosixPath(file).parts[: -len(rest) - 1])
            below.setdefault(above, set()).update(rest[:-1][:1])
    names_below = set().union(*below.values())
    names_above = {PurePosixPath(path).name for path in below}
    if not names_below:
        return True
    if len(names_above) < 2 or "" in below or any(map(diagnosis_of, names_below)):
        return False
    if any(map(diagnosis_of, names_above)):
        return True
    if sum(map(len, below.values())) > len(names_below):
        return False  # several archives with the same classes
    raise InputError(
        f"The classes of {folder} are ambiguous: split folders are inside the folders "
        f"{_examples(names_above)}, and contain the folders {_examples(names_below)}. Expected "
        "class folders either above or below train, val and test. Fix: remove the other level of "
        "folders, or read the labels from a table with source.metadata and source.label_column"
    )


def _parse_class(file: str, *, classes_on_top: bool, depth: int) -> tuple[str | None, str | None]:
    """Return class and split of a file; the class is None for files outside class folders.

    Args:
        file: Path of the file.
        classes_on_top: Whether class folders are at the top, and may contain split folders.
        depth: Number of folder levels above such class folders.
    """
    split, rest = _parse_split(file)
    if classes_on_top:
        rest = PurePosixPath(file).parts[depth:]
        split = _parse_split("/".join(rest[1:]))[0] if len(rest) > 1 else None
    elif split is None:
        return None, None
    if len(rest) < 2 or rest[0].casefold() in SPLIT_FOLDERS:
        return None, None
    return rest[0], split


def _check_all_or_none_split(found: Sequence[tuple[str, str | None, str | None]]) -> None:
    inside = [file for file, _, split in found if split]
    outside = [file for file, _, split in found if not split]
    if inside and outside:
        raise InputError(
            f"{len(inside)} of {len(found)} files in class folders are in a split folder, e.g. "
            f"{printable(inside[0])}, but not {printable(outside[0])}. Expected split folders "
            "(train, val, test) for all files or for none. Fix: move or rename the others"
        )


def _check_no_empty_class(empty: Sequence[str], folder: Path) -> None:
    if empty:
        raise InputError(
            f"{pluralize(len(empty), 'class folder')} in {folder} without any file: "
            f"{_examples(empty)}. Expected images of each class. "
            "Fix: add images, or delete these folders"
        )


def _examples(names: Collection[str]) -> str:
    listed = [repr(name) for name in sorted(names)[:3]]
    return ", ".join(listed) + (" ..." if len(names) > 3 else "")


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
