"""Store of raw images.

Files are immutable and named by the SHA-256 hash of their bytes. Exact duplicates are stored once.
"""

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import pandas as pd

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import printable
from skin_lesions.core.versions import UNSAVED
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources.base import SourceFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectStore:
    """Files named by the SHA-256 hash of their bytes."""

    folder: Path

    def path(self, image_id: str) -> Path:
        """Return the path of the file with the bytes of ``image_id``."""
        return self.folder / image_id[:2] / image_id

    def put(self, data: bytes) -> tuple[str, bool]:
        """Store bytes unless they are already stored intact; return (image_id, is_new)."""
        image_id = hashlib.sha256(data).hexdigest()
        path = self.path(image_id)
        if path.exists():
            if path.read_bytes() == data:
                return image_id, False
            log.warning(
                "Raw image %s was damaged in the store and was restored from the source",
                path.name,
            )
        with atomic_write(path) as partial:
            _write_read_only(partial, data)
        return image_id, True

    def get(self, image_id: str) -> bytes:
        """Return the bytes of ``image_id``.

        Raises:
            InputError: The file is missing, unreadable, or has changed since it was stored.
        """
        path = self.path(image_id)
        with _readable_errors(path):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != image_id:
            raise InputError(f"Raw image {path} has changed since it was stored. {_FIX}")
        return data

    def open(self, image_id: str) -> BinaryIO:
        """Open the file of ``image_id``, for example to read only its header.

        Unlike ``get``, this does not check whether the file has changed.

        Raises:
            InputError: The file is missing or unreadable.
        """
        path = self.path(image_id)
        with _readable_errors(path):
            return path.open("rb")


_FIX = "Fix: restore it from the source with kedro run --pipelines ingest (same --env and --params)"


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Raise the errors of the system as errors that the user can fix."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"Raw image {path} is missing. {_FIX}") from None
    except OSError as error:
        raise InputError(f"Raw image {path} cannot be read: {error.strerror}") from None


def _write_read_only(path: Path, data: bytes) -> None:
    # Created read-only instead of changed later: each system call makes the other threads wait.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o444), "wb", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@dataclass(frozen=True)
class RawImages:
    """One version of the raw images.

    ``table`` has one row per file of the source: file, image_id (None if the file could not be
    opened), bytes, problem (why it could not be opened), and the description by the source (label,
    original_split, source, filename_key, metadata). ``version`` is the catalog version.
    """

    table: pd.DataFrame
    store: ObjectStore
    origin: Origin
    version: str = UNSAVED

    def with_version(self, version: str) -> Self:
        """Return the same images with this version."""
        return replace(self, version=version)

    @property
    def image_ids(self) -> list[str]:
        """Distinct image_ids, in the order of their first file."""
        return list(self.table["image_id"].dropna().unique())


def store_files(
    files: SourceFiles,
    store: ObjectStore,
    on_stored: Callable[[str, bytes], None] | None = None,
) -> pd.DataFrame:
    """Copy the bytes of every file into the store; return the manifest.

    Args:
        files: Files of the source.
        store: Store that receives the bytes.
        on_stored: Called with each image_id and its bytes after they are stored, so that the file
            need not be read again. Several threads call it, and several times for exact duplicates.
    """

    def copy(file: str) -> _Copied:
        try:
            data = files.read(file)
        except OSError as error:
            return _Copied(
                image_id=None,
                bytes=0,
                problem=f"could not be opened: {error.strerror or error}",
                new=False,
            )
        image_id, new = store.put(data)
        if on_stored is not None:
            on_stored(image_id, data)
        return _Copied(image_id=image_id, bytes=len(data), problem=None, new=new)

    copied = pd.DataFrame(ordered_map(copy, files.table["file"]), columns=_Copied._fields)
    log.info(
        "Read %d files from the source (%s): %d new files stored",
        len(copied),
        printable(_describe(files.origin)),
        copied.loc[copied["new"], "image_id"].nunique(),  # two threads may store the same image
    )
    description = files.table.drop(columns="file").reset_index(drop=True)
    return pd.concat([files.table["file"], copied.drop(columns="new"), description], axis=1)


def _describe(origin: Origin) -> str:
    unreadable = {"metadata", "license_notes", "folder_hash"}
    values = origin.model_dump(exclude=unreadable, exclude_none=True)
    return ", ".join(f"{name} {value}" for name, value in values.items())


class _Copied(NamedTuple):
    image_id: str | None
    bytes: int
    problem: str | None
    new: bool
