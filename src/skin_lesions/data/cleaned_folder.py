"""Cleaned copy of a data set: class folders by split, a metadata table and the cleaning list.

The files come from the raw store, which has the bytes of the source. The source is not opened.
"""

import csv
import errno
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.core.csv_cells import with_apostrophe
from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.cleaned_metadata import metadata_cells
from skin_lesions.data.provenance import path_hash
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.file_listing import contains, part_that_contains

log = logging.getLogger(__name__)

METADATA_FILE = "metadata.csv"
LIST_FILE = "cleaning_list.csv"
_FIX = "Fix: choose a new folder with --params clean.output=/path"


def check_output_folder(
    output: Path, *, data_root: Path, source_folder: Path | None, source_hash: str | None
) -> None:
    """Check that a cleaned copy can be written.

    Args:
        output: Absolute path of the copy.
        data_root: The data root, which may not exist yet.
        source_folder: Folder of the source, if it is configured.
        source_hash: Hash of the folder that the stored images come from (``path_hash``), if it was
            a folder.

    Raises:
        InputError: The output is not a new or empty folder, or is inside the data root or inside
            the source folder.
    """
    _check_is_free(output)
    place = output.resolve()
    if contains(data_root, place) or data_root.resolve().is_relative_to(place):
        raise InputError(
            f"clean.output ({output}) and the data root ({data_root}) contain one another. "
            f"Expected separate folders. {_FIX}"
        )
    source = part_that_contains(source_folder, place) if source_folder else None
    if source is None and source_hash is not None:
        parts = (place, *place.parents)
        source = next((part for part in parts if path_hash(part) == source_hash), None)
    if source is not None:
        raise InputError(
            f"clean.output ({output}) is inside the source folder ({source}). The source must "
            f"not change. {_FIX}"
        )


def _check_is_free(output: Path) -> None:
    """Check that a folder does not exist or is empty.

    Raises:
        InputError: It does, it is a file, or it cannot be replaced by a renamed folder.
    """
    if output.is_dir() and os.path.ismount(output):
        raise InputError(
            f"clean.output ({output}) is a mount point, which cannot be replaced by the complete "
            f"copy. Expected a folder in it. Fix: --params clean.output={output / 'cleaned'}"
        )
    if output.is_dir() and any(output.iterdir()):
        raise InputError(
            f"clean.output ({output}) is not empty. Expected a new or empty folder. {_FIX}"
        )
    if not output.is_dir() and (output.exists() or output.is_symlink()):
        raise InputError(
            f"clean.output ({output}) is not a folder. Expected a new or empty folder. {_FIX}"
        )


def write_cleaned_folder(
    output: Path,
    metadata: pd.DataFrame,
    cleaning_list: pd.DataFrame,
    store: ObjectStore,
    *,
    hard_links: bool,
) -> int:
    """Write a cleaned copy. The folder appears under its name when it is complete.

    The checksum of each file is verified. A link leads to the file in the raw store, never to the
    source: a program that edits the copy in place cannot change the source.

    Args:
        output: New or empty folder.
        metadata: Result of ``cleaned_metadata``.
        cleaning_list: Result of ``list_files``.
        store: The bytes of the files.
        hard_links: Whether to link files where the file system allows it, instead of copying them.

    Returns:
        The number of linked files.

    Raises:
        InputError: The output is not free or cannot be written, or a stored file is damaged.
    """
    place = output.resolve()
    with _new_folder(place, output) as partial_folder:
        for folder in sorted({str(PurePosixPath(file).parent) for file in metadata["file"]}):
            (partial_folder / folder).mkdir(parents=True)
        copy = partial(_copy_file, folder=partial_folder, store=store, hard_links=hard_links)
        is_linked = list(
            ordered_map(copy, zip(metadata["file"], metadata["image_id"], strict=True))
        )
        _write_csv(partial_folder / METADATA_FILE, metadata_cells(metadata))
        _write_csv(partial_folder / LIST_FILE, cleaning_list.map(with_apostrophe))
    return sum(is_linked)


@contextmanager
def _new_folder(place: Path, output: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the output, and rename it at the end.

    A killed process leaves the temporary folder, whose name begins with a dot.

    Raises:
        InputError: The output is not free or cannot be written.
    """
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.partial")
    try:
        _check_is_free(output)
        temporary.mkdir(parents=True)
        yield temporary
        _check_is_free(output)  # another program may have written to it
        if place.is_dir():
            place.rmdir()  # not every system replaces an empty folder by a rename
        temporary.rename(place)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"clean.output ({output}) cannot be written ({error.strerror}). {_FIX}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_file(
    item: tuple[str, str], *, folder: Path, store: ObjectStore, hard_links: bool
) -> bool:
    """Link or copy a stored file, given as (path in the folder, image_id).

    Returns:
        Whether it is a link.
    """
    file, image_id = item
    data = store.get(image_id)  # verifies the checksum
    path = folder / file
    if hard_links:
        try:
            os.link(store.path(image_id), path)
            return True
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
    path.write_bytes(data)
    return False


# Other file system, no support for links, or too many links to one file.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def _write_csv(path: Path, cells: pd.DataFrame) -> None:
    # Excel recognizes UTF-8 only by the byte order mark at the start of the file.
    cells.to_csv(path, index=False, quoting=csv.QUOTE_ALL, encoding="utf-8-sig")
