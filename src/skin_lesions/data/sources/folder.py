"""Open a source of images: which files there are, and what it says of each.

Layouts of a folder: ``train|val|test/<class>/...``, ``<class>/...``, or any with the labels in a
metadata table.
"""

import logging
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from skin_lesions.config.parameters import Source
from skin_lesions.core.errors import InputError, shown
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.sources.metadata import (
    IMAGE_SUFFIXES,
    Metadata,
    Rows,
    join_metadata,
    read_metadata,
)
from skin_lesions.data.sources.synthetic import demo_table, draw_demo_file

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
        InputError: It is not there, holds no labelled images, or can't be downloaded.
    """
    if source.kind == "demo":
        return _open_demo(source.demo_seed)
    if source.kind == "folder":
        folder = _existing_folder(source.folder)
        return _open_folder(folder, folder.name, source, {"kind": "folder", "folder": str(folder)})
    return _open_kaggle(source)


def refuse_missing(source: Source) -> None:
    """Refuse a folder that is not there, before anything else is looked for.

    Raises:
        InputError: ``source.folder`` is not a folder.
    """
    if source.kind == "folder":
        _existing_folder(source.folder)


def name_key(file: str, pattern: str | None = None) -> str | None:
    r"""Return what a file's name, without folders and suffix, says it belongs to, or None.

    Args:
        file: The name or path of the file.
        pattern: Regular expression looked for in place of the built-in ones (MSLD v2.0, ISIC). The key is
            what its group, or of several the one named ``key``, captures; without a group all that
            it matches.

    >>> name_key("train/Chickenpox/CHP_02_01_1.jpg"), name_key("ISIC_0024468.jpg"), name_key("1.jpg")
    ('CHP_02', 'ISIC_0024468', None)
    >>> name_key("nv/P017-left-2.jpg", r"^(P\d+)-"), name_key("CHP_02_01.jpg", r"^(P\d+)-")
    ('P017', None)
    """
    stem = _normal(PurePosixPath(file).stem)
    if pattern is None:
        match = _MSLD_NAME.match(stem) or _ISIC_NAME.match(stem)
        return match.group(1).upper() if match else None
    found = re.search(pattern, stem)
    if found is None:
        return None
    part = "key" if "key" in found.re.groupindex else min(found.re.groups, 1)
    return found[part] or None


def _open_demo(seed: int) -> SourceFiles:
    table = demo_table(seed).drop(columns=["planted", "lesion"])
    table.insert(3, "source", "demo")
    table.insert(4, "name_key", [name_key(file) for file in table["file"]])
    return SourceFiles(table, partial(draw_demo_file, seed=seed), {"kind": "demo", "seed": seed})


def _open_kaggle(source: Source) -> SourceFiles:
    from skin_lesions.data.sources.kaggle import download_dataset  # noqa: PLC0415  (kagglehub takes a second)

    found = download_dataset(source.kaggle.dataset, source.kaggle.version)
    return _open_folder(found.folder, found.dataset, source, found.origin)


def _open_folder(folder: Path, name: str, source: Source, origin: dict[str, Any]) -> SourceFiles:
    tables = read_metadata(source)
    paths = _list_files(folder, [table.path for table in tables])
    if not paths:
        raise InputError(f"source.folder {folder} holds no files; is it the right folder?")
    files = list(paths)
    rows = [metadata.rows_of(files) for metadata in tables]
    labelled = [pair for pair in zip(tables, rows, strict=True) if pair[0].has_labels]
    if labelled:
        table = _from_metadata(files, *labelled[0])
    else:
        table = _from_class_folders(files, folder)
        _tell_unused_diagnoses(table["label"], tables)
    table.insert(3, "source", name)
    table.insert(4, "name_key", _name_keys(table["file"].tolist(), source.name_pattern))
    if tables:
        table = table.join(join_metadata(files, tables, rows), on="file")
    given = {"metadata": list(source.metadata), "name_pattern": source.name_pattern}
    return SourceFiles(table, partial(_read_file, paths), {**origin, **given})


def _name_keys(files: Sequence[str], pattern: str | None) -> list[str | None]:
    keys = [name_key(file, pattern) for file in files]
    if pattern is None:
        return keys
    known = [key for key in keys if key is not None]
    if not known:
        raise InputError(
            f"source.name_pattern {shown(pattern)} matches none of the {len(files)} file names, e.g. "
            f"{PurePosixPath(files[0]).stem!r} (without folders and suffix); mend it, or take the built-in "
            "patterns: --params source.name_pattern=null"
        )
    log.info(
        "source.name_pattern: %d of %d file names have a key, e.g. %s; %d different keys",
        len(known),
        len(files),
        shown(known[0]),
        len(set(known)),
    )
    return keys


def _existing_folder(name: str | None) -> Path:
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
        folder, onerror=_refuse_unreadable_folder, followlinks=True
    ):
        folders[:] = [
            name for name in folders if _is_content(name) and not _leads_back(where, name)
        ]
        for name in names:
            path = Path(where, name)
            if _is_content(name) and not any(_is_same_file(path, table) for table in metadata):
                found[_as_text(path.relative_to(folder).as_posix())] = path
    return dict(sorted(found.items()))


def _refuse_unreadable_folder(error: OSError) -> None:
    raise InputError(f"the folder {shown(error.filename)} can't be listed: {error.strerror}")


def _is_content(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NOT_IMAGES


def _leads_back(where: str, name: str) -> bool:
    path = Path(where, name)
    if not path.is_symlink():
        return False
    return path.resolve() in {parent.resolve() for parent in path.parents}


def _is_same_file(path: Path, other: Path) -> bool:
    return path.name == other.name and path.resolve() == other.resolve()


def _as_text(name: str) -> str:
    """Spell out bytes of a file name that are not UTF-8: no table could hold them."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _read_file(paths: Mapping[str, Path], file: str) -> bytes:
    path = paths[file]
    if path.is_symlink() and not path.exists():
        raise OSError(f"it is a link to {shown(path.readlink())}, which is not there")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait forever
        raise OSError("it is a pipe, socket or device, not a file")
    if status.st_size > MAX_BYTES:
        raise OSError(f"it has {status.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
    return path.read_bytes()


def _from_metadata(files: Sequence[str], metadata: Metadata, rows: Rows) -> pd.DataFrame:
    """Take the files that the metadata name, with the labels they give: file, label, shipped_split."""
    labelled = zip(files, map(_as_label, metadata.labels_at(rows)), rows, strict=True)
    found = [(file, label, _split_and_rest(file)[0]) for file, label, row in labelled if row >= 0]
    _tell_left_out(len(files) - len(found), f"the metadata {metadata.path}")
    return _table(found)


def _from_class_folders(files: Sequence[str], folder: Path) -> pd.DataFrame:
    """Read split and class from the paths: file, label, shipped_split."""
    parted = [(file, *_split_and_rest(file)) for file in files]
    if not any(split and len(rest) > 1 for _, split, rest in parted):
        depth = _depth_of_wrappers([file for file in files if _looks_like_image(file)] or files)
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
    _tell_left_out(len(files) - len(found), "class folders")
    return _table(found)


def _tell_unused_diagnoses(labels: pd.Series, tables: Sequence[Metadata]) -> None:
    """Warn of folders that merely part the images, as the two of HAM10000 do."""
    columns = [column for metadata in tables for column in metadata.columns_of_diagnoses()]
    if columns and not any(diagnosis_of(label) for label in labels.unique()):
        log.warning(
            "The labels are the names of folders, e.g. %s, none of which is a known diagnosis, but the "
            "column %s of the metadata holds diagnoses; to take those: source.label_column=%s",
            *map(shown, (labels.iloc[0], columns[0], columns[0])),
        )


def _as_label(name: str | None) -> str | None:
    return _normal(name).strip() if name is not None else None


def _normal(name: str) -> str:
    # macOS writes é as e and an accent: two classes or keys that nobody could tell apart.
    return unicodedata.normalize("NFC", name)


def _tell_left_out(files: int, where: str) -> None:
    if files:
        log.warning("%d files lie outside %s and are left out", files, where)


def _table(found: Sequence[tuple[str, str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["file", "label", "shipped_split"], dtype=object)


def _split_and_rest(file: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split that a folder on the path names, and the parts of the path below it."""
    parts = PurePosixPath(file).parts
    for depth, part in enumerate(parts[:-1]):
        if part.casefold() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[part.casefold()], parts[depth + 1 :]
    return None, parts


def _looks_like_image(file: str) -> bool:
    return PurePosixPath(file).suffix.removeprefix(".").casefold() in IMAGE_SUFFIXES


def _depth_of_wrappers(files: Sequence[str]) -> int:
    """Count the folders that merely wrap the class folders, as unpacked archives do."""
    paths = [PurePosixPath(file).parts for file in files]
    depth = 0
    while True:
        below = [path[depth:] for path in paths if len(path) > depth + 1]  # the rest has no class
        is_one_folder = len({path[0] for path in below}) == 1
        if not is_one_folder or any(len(path) == 2 for path in below):  # a file: it is the class
            return depth
        depth += 1
