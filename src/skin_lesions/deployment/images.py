"""Image files that predictions are requested for: search in folders, and reading.

Hidden files and symbolic links are treated as in the folders that ``ingest`` reads. Only the names
of the files are in memory.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.sources.file_listing import read_image_bytes, walk_images

# Files that often accompany images. All other files are read, so that an image without a known
# suffix, or in a format that is not supported, has a row with the reason.
_NOT_IMAGE_SUFFIXES = frozenset(
    {".csv", ".tsv", ".xlsx", ".json", ".yml", ".yaml", ".xml", ".txt", ".md", ".pdf", ".zip"}
)


@dataclass(frozen=True)
class ImageFiles:
    """Files below a folder, sorted by name.

    Attributes:
        folder: Absolute path of the folder.
        names: Relative path of each file with forward slashes, as the system stores it.
        boundaries: Searched folders that links in them may not leave. Files that were requested
            individually may be links to any file.
        option: The setting that follows such links, for error messages.
        skipped: Number of files in searched folders whose suffix is not that of an image.
    """

    folder: Path
    names: Sequence[str]
    boundaries: tuple[Path, ...]
    option: str
    skipped: int

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            OSError: The message is the reason; see ``data.sources.file_listing.read_image_bytes``.
        """
        path = self.folder / name
        boundary = next((f for f in self.boundaries if path.is_relative_to(f)), None)
        return read_image_bytes(path, boundary, self.option)


def find_images(inputs: Sequence[str], *, follow_symlinks: bool, option: str) -> ImageFiles:
    """Find the image files of some files, folders and glob patterns.

    Folders are searched recursively. In a pattern, ``*`` and ``?`` match within one name and ``**``
    matches any number of folders. Names are relative to the folder that contains all inputs.

    Args:
        inputs: Paths of files or folders, or patterns, at least one.
        follow_symlinks: Whether to follow links that lead out of a searched folder.
        option: The setting that follows such links, for error messages.

    Raises:
        InputError: An input does not exist or contains no file, a linked folder is outside of a
            searched folder, or a folder cannot be listed.
    """
    searches = [_parse_input(text) for text in inputs]
    try:
        folder = Path(os.path.commonpath([search.folder for search in searches]))
    except ValueError:
        raise InputError(
            "The inputs are on different drives. Expected inputs below one folder. Fix: predict "
            "them one after the other"
        ) from None
    names: list[str] = []
    skipped = 0
    for text, search in zip(inputs, searches, strict=True):
        prefix = search.folder.relative_to(folder).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        if search.file is not None:
            names.append(prefix + search.file)
            continue
        before = len(names)
        boundary = None if follow_symlinks else search.folder
        for name in search.names(boundary, option):
            if PurePath(name).suffix.casefold() in _NOT_IMAGE_SUFFIXES:
                skipped += 1
            else:
                names.append(prefix + name)
        if len(names) == before:
            raise InputError(
                f"No image files found ({printable(text)}). Expected image files, a folder with "
                "image files, or a pattern that matches some, such as 'images/**/*.jpg'"
            )
    return ImageFiles(
        folder=folder,
        names=sorted(set(names) if len(searches) > 1 else names),
        boundaries=() if follow_symlinks else tuple(s.folder for s in searches if s.file is None),
        option=option,
        skipped=skipped,
    )


@dataclass(frozen=True)
class _Search:
    """One input: a file in a folder, or the files of a folder that match a pattern."""

    folder: Path
    file: str | None = None
    pattern: tuple[str, ...] = ("**", "*")

    def names(self, boundary: Path | None, option: str) -> Iterator[str]:
        """Yield the relative paths of all files that match the pattern."""
        is_recursive = "**" in self.pattern
        for parent, folders, files in walk_images(self.folder, boundary, option):
            parts = parent.relative_to(self.folder).parts
            prefix = "".join(f"{part}/" for part in parts)
            yield from (prefix + file for file in files if _matches((*parts, file), self.pattern))
            if not is_recursive and len(parts) + 1 >= len(self.pattern):
                folders.clear()  # deeper files cannot match


def _parse_input(text: str) -> _Search:
    """Return the search of one input.

    Raises:
        InputError: It does not exist.
    """
    path = Path(text)
    if text and path.is_dir():
        return _Search(path.resolve())
    if text and os.path.lexists(path):  # also a broken link, which is reported as unreadable
        return _Search(path.parent.resolve(), file=path.name)
    parts = path.parts
    magic = [i for i, part in enumerate(parts) if glob.has_magic(part)]
    if not magic:
        raise InputError(
            f"The file or folder does not exist ({printable(text)}). Expected an image file, a "
            "folder of images, or a pattern such as 'images/**/*.jpg'"
        )
    folder = Path(*parts[: magic[0]]).resolve()
    if not folder.is_dir():
        raise InputError(
            f"The folder of the pattern does not exist ({printable(folder)}). Expected a folder "
            "of images"
        )
    pattern = parts[magic[0] :]
    return _Search(folder, pattern=(*pattern, "*") if pattern[-1] == "**" else pattern)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a relative path match the parts of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == "**":  # it matches no part, or the first one and possibly more
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
