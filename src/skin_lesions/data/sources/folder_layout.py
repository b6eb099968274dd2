"""Folder layouts: the class and the split of each file, parsed from its path.

Supported layouts are ``train|val|test/<class>/...``, ``<class>/train|val|test/...`` and
``<class>/...``.
"""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import normalize_name, pluralize, printable
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.sources.base import has_image_suffix

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def parse_class_folders(
    files: Sequence[str],
    empty_folders: Sequence[str],
    folder: Path,
    diagnosis_columns: Sequence[str],
) -> list[tuple[str, str | None, str | None]]:
    """Return (file, label, original split) of each file in a class folder.

    Error messages name the folder, and the first metadata column with diagnoses.

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
    found = [(file, as_label(label), split) for file, (label, split) in parsed.items() if label]
    if not found:
        column = printable(diagnosis_columns[0]) if diagnosis_columns else "<column>"
        raise InputError(
            f"None of the {len(files)} files in {folder} is in a class folder. "
            "Expected train/<class>/image.jpg, <class>/train/image.jpg or <class>/image.jpg. "
            "Fix: rename the folders, or read the labels from a table with source.metadata and "
            f"source.label_column={column}"
        )
    if classes_on_top:
        _check_all_or_none_split(found)
    labels = {label for _, label, _ in found}
    empty = {as_label(parse(f"{name}/*")[0]) for name in empty_folders}
    _check_no_empty_class(sorted(name for name in empty - labels if name), folder)
    return found


def _classes_are_on_top(files: Sequence[str], folder: Path) -> bool:
    """Return whether class folders are at the top. They may then contain split folders.

    Raises:
        InputError: Both the folders above and below the split folders could be classes.
    """
    # Folder that contains split folders -> names of the folders below them.
    below: dict[str, set[str]] = {}
    for file in filter(has_image_suffix, files):
        split, rest = parse_split(file)
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


def _parse_class(file: str, *, classes_on_top: bool, depth: int) -> tuple[str | None, str | None]:
    """Return class and split of a file; the class is None for files outside class folders.

    Args:
        file: Path of the file.
        classes_on_top: Whether class folders are at the top, and may contain split folders.
        depth: Number of folder levels above such class folders.
    """
    split, rest = parse_split(file)
    if classes_on_top:
        rest = PurePosixPath(file).parts[depth:]
        split = parse_split("/".join(rest[1:]))[0] if len(rest) > 1 else None
    elif split is None:
        return None, None
    if len(rest) < 2 or rest[0].casefold() in SPLIT_FOLDERS:
        return None, None
    return rest[0], split


def parse_split(file: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the split from the first split folder of a path, and the path components below it."""
    parts = PurePosixPath(file).parts
    for depth, name in enumerate(parts[:-1]):
        if name.casefold() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[name.casefold()], parts[depth + 1 :]
    return None, parts


def as_label(name: str | None) -> str | None:
    """Normalize the name of a class. None stays None."""
    return normalize_name(name).strip() if name is not None else None


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
