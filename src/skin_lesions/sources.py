"""Open a source of images: which files there are, and what it says of each.

Layouts of a folder: ``train|val|test/<class>/...``, ``<class>/...``, or any with the labels in a
metadata table.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from skin_lesions.demo import demo_table, draw_demo_file
from skin_lesions.errors import InputError
from skin_lesions.metadata import Metadata, read_metadata
from skin_lesions.parameters import Source

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
_NOT_IMAGES = {"thumbs.db", "desktop.ini", "__macosx"}

# MSLD v2.0: disease, patient, image, copy. One patient's pictures belong together.
_MSLD_NAME = re.compile(r"^((?:MKP|CHP|CWP|MSL|HFMD|HEALTHY)_\d+)_\d+(?:_\d+)?$", re.IGNORECASE)
_ISIC_NAME = re.compile(r"^(ISIC_\d{7})(?:_downsampled)?$", re.IGNORECASE)


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source; nothing is read yet.

    ``table`` has one row per file: file, label, shipped_split (None where the source has none),
    source, name_key (what the file's name says it belongs to) and the columns of the metadata.
    ``read(file)`` gives its bytes. ``origin`` says where all this came from.
    """

    table: pd.DataFrame
    read: Callable[[str], bytes]
    origin: dict[str, Any] = field(default_factory=dict)


def open_source(source: Source) -> SourceFiles:
    """List the files of the source that the parameters name.

    Raises:
        InputError: It is not there, holds no labelled images, or can't be opened yet.
    """
    if source.kind == "demo":
        return _open_demo(source.demo_seed)
    if source.kind == "folder":
        return _open_folder(source)
    raise InputError(
        "source.kind=kaggle can't download yet. Download and unpack "
        f"https://www.kaggle.com/datasets/{source.kaggle.dataset} yourself, then: kedro run "
        "--params source.kind=folder,source.folder=/path/to/it (same --env)"
    )


def name_key(file: str) -> str | None:
    """Return what a file's name says it belongs to, or None.

    >>> name_key("train/Chickenpox/CHP_02_01_1.jpg"), name_key("ISIC_0024468.jpg"), name_key("1.jpg")
    ('CHP_02', 'ISIC_0024468', None)
    """
    stem = PurePosixPath(file).stem
    match = _MSLD_NAME.match(stem) or _ISIC_NAME.match(stem)
    return match.group(1).upper() if match else None


def _open_demo(seed: int) -> SourceFiles:
    table = demo_table(seed).drop(columns=["planted", "lesion"])
    table.insert(3, "source", "demo")
    table.insert(4, "name_key", [name_key(file) for file in table["file"]])
    return SourceFiles(table, partial(draw_demo_file, seed=seed), {"kind": "demo", "seed": seed})


def _open_folder(source: Source) -> SourceFiles:
    folder = _existing_folder(source.folder)
    metadata = read_metadata(Path(source.metadata), source) if source.metadata else None
    files = _list_files(folder, Path(source.metadata) if source.metadata else None)
    if not files:
        raise InputError(f"source.folder {folder} holds no files; is it the right folder?")
    table = _labelled(files, metadata, folder)
    table.insert(3, "source", folder.name)
    table.insert(4, "name_key", [name_key(file) for file in table["file"]])
    if metadata is not None:
        table = metadata.join_to(table)
    origin = {"kind": "folder", "folder": str(folder), "metadata": source.metadata}
    return SourceFiles(table, partial(_read_file, folder), origin)


def _read_file(folder: Path, file: str) -> bytes:
    return (folder / file).read_bytes()


def _existing_folder(name: str | None) -> Path:
    if not name:
        raise InputError(
            "source.kind is folder, but source.folder is not set; "
            "give it with: --params source.folder=/path/to/images"
        )
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"source.folder {folder} is not a folder (or can't be seen from here)")
    return folder


def _list_files(folder: Path, metadata: Path | None) -> list[str]:
    """List what could be an image, as sorted relative paths with forward slashes."""
    table = metadata.resolve() if metadata else None
    found = []
    for where, folders, names in os.walk(folder, onerror=_refuse_unreadable_folder):
        folders[:] = [name for name in folders if _is_content(name)]
        paths = (Path(where, name) for name in names if _is_content(name))
        found += [p.relative_to(folder).as_posix() for p in paths if p.resolve() != table]
    return sorted(found)


def _refuse_unreadable_folder(error: OSError) -> None:
    raise InputError(f"the folder {error.filename} can't be listed: {error.strerror}")


def _is_content(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_IMAGES


def _labelled(files: list[str], metadata: Metadata | None, folder: Path) -> pd.DataFrame:
    """Give each file its label and shipped split; leave out files that have no place."""
    if metadata is not None and metadata.has_labels:
        table = pd.DataFrame({"file": files, "label": metadata.labels_of(files)})
        table["shipped_split"] = [_split_and_rest(file)[0] for file in files]
        table = table[metadata.names(files)].reset_index(drop=True)
        outside = len(files) - len(table)
        where = f"the metadata {metadata.path}"
    else:
        table = pd.DataFrame(_from_class_folders(files), columns=["file", "label", "shipped_split"])
        outside = len(files) - len(table)
        where = "class folders"
    if table.empty:
        raise InputError(
            f"none of the {len(files)} files in {folder} lies in a class folder, as in "
            "train/<class>/image.jpg or <class>/image.jpg (or give source.metadata and "
            "source.label_column for labels from a table)"
        )
    if outside:
        log.warning("%d files lie outside %s and are left out", outside, where)
    return table.astype({"label": object, "shipped_split": object})


def _from_class_folders(files: Sequence[str]) -> list[tuple[str, str, str | None]]:
    """Read split and class from the paths: (file, label, shipped split)."""
    parted = [(file, *_split_and_rest(file)) for file in files]
    if any(split and len(rest) > 1 for _, split, rest in parted):
        return [(file, rest[0], split) for file, split, rest in parted if split and len(rest) > 1]
    depth = _depth_of_wrappers(files)
    parts = [(file, PurePosixPath(file).parts[depth:]) for file in files]
    return [(file, rest[0], None) for file, rest in parts if len(rest) > 1]


def _split_and_rest(file: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that a folder on the path names, and the parts of the path below it."""
    parts = PurePosixPath(file).parts
    for depth, part in enumerate(parts[:-1]):
        if part.casefold() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[part.casefold()], parts[depth + 1 :]
    return None, parts


def _depth_of_wrappers(files: Sequence[str]) -> int:
    """Count the folders that merely wrap the class folders, as unpacked archives do."""
    depth = 0
    while True:
        parts = [PurePosixPath(file).parts[depth:] for file in files]
        below = Counter(part[0] for part in parts)
        if len(below) > 1 or any(len(part) < 3 for part in parts):
            return depth
        depth += 1
