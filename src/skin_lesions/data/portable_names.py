"""Portable names: names of files and folders that are valid and distinct on every system."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from skin_lesions.core.text import normalize_name, without_invisible
from skin_lesions.data.sources.base import has_image_suffix
from skin_lesions.data.sources.folder_layout import SPLIT_FOLDERS

_FORBIDDEN = frozenset('<>:"/\\|?*')  # on Windows
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)
_IGNORED = frozenset(["__macosx", "thumbs.db", "desktop.ini"])  # by this project, in a source
_MAX_BYTES = 120  # in UTF-8; file systems allow 255 for the name with hash and suffix
_SUFFIXES = {"PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp", "GIF": ".gif"}


def portable_name(name: str) -> str:
    r"""Return a name without characters that some systems or programs treat in a special way.

    It does not begin like a hidden file, a formula or a command-line option.

    >>> portable_name("naevus 日本"), portable_name("../a:b"), portable_name("=1+2")
    ('naevus 日本', '_a_b', '_=1+2')
    """
    visible = without_invisible(normalize_name(name))
    text = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in visible)
    text = text.lstrip(" .").encode()[:_MAX_BYTES].decode(errors="ignore").rstrip(" .")
    is_special = text.casefold().partition(".")[0] in _DEVICES or text.casefold() in _IGNORED
    return f"_{text}" if is_special or not text or text[0] in "=+-@'~" else text


def class_folders(labels: Iterable[str]) -> dict[str, str]:
    """Return the name of the folder of each class.

    Names that are equal without case get a hash of the label, because some systems ignore case. A
    class with the name of a split, such as "Test", gets the prefix ``class_``.
    """
    distinct = sorted(set(labels))
    names = [portable_name(label) for label in distinct]
    names = [f"class_{name}" if name.casefold() in SPLIT_FOLDERS else name for name in names]
    hashes = [hashlib.sha256(label.encode()).hexdigest() for label in distinct]
    return dict(zip(distinct, _with_hashes(names, hashes), strict=True))


def file_paths(
    folders: Sequence[str], files: Sequence[str], image_ids: Sequence[str], formats: Sequence[str]
) -> list[str]:
    """Return a distinct path for each file: its folder and its portable name.

    Files that would have the same path get a part of the image_id in the name, all of them. The
    paths therefore do not depend on the order of the files.

    Args:
        folders: Folder of each file, with forward slashes.
        files: Original paths.
        image_ids: Distinct sha256 hashes.
        formats: Image formats, such as PNG. They give the suffix of a file without one.
    """
    stems: list[str] = []
    suffixes: list[str] = []
    for folder, file, kind in zip(folders, files, formats, strict=True):
        path = PurePosixPath(file)
        has_suffix = has_image_suffix(file)
        stems.append(f"{folder}/{portable_name(path.stem if has_suffix else path.name)}")
        suffixes.append(path.suffix if has_suffix else _SUFFIXES.get(kind, ".jpg"))
    return _with_hashes(stems, image_ids, suffixes)


def _with_hashes(
    names: Sequence[str], hashes: Sequence[str], suffixes: Sequence[str] | None = None
) -> list[str]:
    """Add hashes to names that are equal without case, longer ones where necessary."""
    suffixes = suffixes or [""] * len(names)
    lengths = [0] * len(names)  # hex digits of the hash of each name
    while True:
        found = [
            f"{name}-{digest[:length]}{suffix}" if length else name + suffix
            for name, digest, length, suffix in zip(names, hashes, lengths, suffixes, strict=True)
        ]
        counts = Counter(name.casefold() for name in found)
        repeated = [i for i, name in enumerate(found) if counts[name.casefold()] > 1]
        if not repeated:
            return found
        for i in repeated:
            lengths[i] = 8 if lengths[i] == 0 else 64
