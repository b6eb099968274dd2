"""Row matching: the metadata rows of each image file.

Rows are matched by path, file name or stem.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from skin_lesions.core.text import normalize_name
from skin_lesions.data.sources.base import IMAGE_SUFFIXES


def match_rows(keys: Sequence[str], files: Sequence[str]) -> list[list[int]]:
    """Find the rows whose key matches each file. An ambiguous key gives several rows.

    Three rules apply in this order:

    1. A key matches a file if one path ends with the other. For example, ``1.jpg``, ``a/1.jpg`` and
       ``/old/place/a/1.jpg`` all match ``a/1.jpg``. Longer keys take precedence over shorter ones.
    2. The same without image suffixes: ``a/1`` and ``a/1.png`` match ``a/1.jpg``.
    3. Rows with the same file name in another folder, unless rule 1 or 2 matched the row to
       another file.
    """
    paths = [_normalize_path(file) for file in files]
    cells = [_normalize_path(key) for key in keys]
    exact = _index(cells)
    without_suffix = _index([_without_suffix(cell) for cell in cells])
    matches = [
        _rows_by_path(path, exact) or _rows_by_path(_without_suffix(path), without_suffix)
        for path in paths
    ]
    used = {rows[0] for rows in matches if rows}
    rows_by_name: dict[str, list[int]] = defaultdict(list)
    for row, cell in enumerate(cells):
        if row not in used:
            rows_by_name[_without_suffix(cell).rpartition("/")[2]].append(row)
    by_name = (rows_by_name.get(_without_suffix(path).rpartition("/")[2], []) for path in paths)
    return [rows or same_name for rows, same_name in zip(matches, by_name, strict=True)]


class _Index(NamedTuple):
    """Rows by complete key, and rows by each path suffix of a key."""

    complete: dict[str, list[int]]
    suffixes: dict[str, list[int]]


def _index(keys: Sequence[str]) -> _Index:
    index = _Index(defaultdict(list), defaultdict(list))
    for row, key in enumerate(keys):
        index.complete[key].append(row)
        for suffix in _path_suffixes(key):
            index.suffixes[suffix].append(row)
    return index


def _rows_by_path(path: str, index: _Index) -> list[int]:
    # Keys that end with the path come first, then the longest key that the path ends with.
    shorter = (
        index.complete[suffix] for suffix in _path_suffixes(path) if suffix in index.complete
    )
    return index.suffixes.get(path) or next(shorter, [])


def _path_suffixes(path: str) -> list[str]:
    """List the suffixes of a path, longest first: ``a/b/c``, ``b/c``, ``c``."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _normalize_path(path: str) -> str:
    return normalize_name(path.strip()).replace("\\", "/").removeprefix("./")


def _without_suffix(path: str) -> str:
    stem, _, suffix = path.rpartition(".")
    return stem if stem and suffix.casefold() in IMAGE_SUFFIXES else path
