"""Files of an image folder: listing, reading, and checks of symbolic links.

Files that cannot be images, such as hidden files, are not listed.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import encodable, printable

MAX_BYTES = 128 << 20  # bytes; each thread reads one file into memory
# The setting that follows links out of a folder, for error messages.
FOLLOW_SYMLINKS = "source.follow_symlinks=true"
_NOT_IMAGES = {"thumbs.db", "desktop.ini", "__macosx"}


def list_files(
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
    for parent, folders, names in walk_images(folder, boundary):
        paths = [parent / name for name in names]
        if not folders and not paths:
            empty_folders.append(encodable(parent.relative_to(folder).as_posix()))
        for path in paths:
            if not _is_one_of(path, metadata):
                found[encodable(path.relative_to(folder).as_posix())] = path
    return dict(sorted(found.items())), sorted(empty_folders)


def walk_images(
    folder: Path, boundary: Path | None, option: str = FOLLOW_SYMLINKS
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder that could contain images, with the names of its folders and such files.

    A folder that the caller deletes from the names is not visited.

    Args:
        folder: The folder at the top.
        boundary: Folder that links may not leave, or None.
        option: The setting that follows such links, for error messages.

    Raises:
        InputError: A link leads to a folder outside of the boundary, or a folder cannot be listed.
    """
    for parent, folders, names in _walk(folder):
        for name in folders:
            _check_linked_folder(parent / name, boundary, option)
        yield parent, folders, [name for name in names if _is_content(name)]


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


def _check_linked_folder(path: Path, boundary: Path | None, option: str) -> None:
    if _leaves(path, boundary):
        raise InputError(
            f"Symbolic link leads out of the folder ({printable(path)} -> "
            f"{printable(path.resolve())}). Such links are not followed by default. "
            f"Fix: set {option} to read the linked folder, or delete the link"
        )


def _leaves(path: Path, boundary: Path | None) -> bool:
    """Return whether a path is a symbolic link to a target outside of the boundary."""
    return (
        boundary is not None and path.is_symlink() and not path.resolve().is_relative_to(boundary)
    )


def _is_one_of(path: Path, others: Sequence[Path]) -> bool:
    # Names are compared first, because resolving the links of every image would take long.
    return any(path.name == other.name and path.resolve() == other.resolve() for other in others)


def read_file(paths: Mapping[str, Path], boundary: Path | None, file: str) -> bytes:
    """Return the bytes of a listed file.

    Args:
        paths: Path of each file, from ``list_files``.
        boundary: Folder that links may not leave, or None.
        file: Key of ``paths``.

    Raises:
        OSError: As for ``read_image_bytes``.
    """
    return read_image_bytes(paths[file], boundary)


def read_image_bytes(path: Path, boundary: Path | None, option: str = FOLLOW_SYMLINKS) -> bytes:
    """Return the bytes of a file that could be an image.

    Args:
        path: Path of the file.
        boundary: Folder that links may not leave, or None.
        option: The setting that follows such links, for error messages.

    Raises:
        OSError: The file cannot be read, is not a regular file, is larger than ``MAX_BYTES``, or is
            a link to a file outside of the boundary.
    """
    if path.is_symlink() and not path.exists():
        raise OSError(f"broken link: {printable(path.readlink().name)} does not exist")
    if _leaves(path, boundary):
        raise OSError(
            f"symbolic link that leads out of the folder; to read its target, set {option}"
        )
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise OSError("not a regular file, but a pipe, socket or device")
    if status.st_size > MAX_BYTES:
        raise OSError(f"too large: {status.st_size:,} bytes, at most {MAX_BYTES:,} are allowed")
    return path.read_bytes()


def check_outside(folder: Path, data_root: Path) -> None:
    """Check that neither folder contains the other, also through links below the source folder.

    Otherwise, the files that a run stores in the data root would be images of the next run.

    Args:
        folder: Existing source folder.
        data_root: Data root, which does not exist before the first run.

    Raises:
        InputError: One of them contains the other.
    """
    if contains(data_root, folder):
        raise InputError(
            f"source.folder ({folder}) is inside the data root ({data_root}). Expected separate "
            "folders. Fix: move the images, or choose another data root with --params "
            "data_root=/path"
        )
    part = part_that_contains(folder, data_root)
    if part is not None:
        raise InputError(
            f"The data root ({data_root}) is inside the source folder ({part}). Expected "
            "separate folders. Fix: choose another data root with --params data_root=/path"
        )


def part_that_contains(folder: Path, path: Path) -> Path | None:
    """Return the folder, or the linked folder below it, that contains a path; None if neither."""
    inside = [folder, *(parent for parent, _, _ in _walk(folder) if parent.is_symlink())]
    return next((part for part in inside if contains(part, path)), None)


def contains(folder: Path, path: Path) -> bool:
    """Return whether a folder contains a path, or is that path, after all links are followed."""
    resolved = path.resolve()
    # Compares files instead of names: a file system may ignore case.
    return folder.exists() and any(
        part.samefile(folder) for part in (resolved, *resolved.parents) if part.exists()
    )
