"""The store of raw images: each content once, immutable, under its sha256."""

import errno
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import printable
from skin_lesions.data.sources.base import SourceFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObjectStore:
    """Files named by the sha256 of their bytes."""

    folder: Path

    def path(self, image_id: str) -> Path:
        """Return where the bytes of ``image_id`` lie."""
        return self.folder / image_id[:2] / image_id

    def put(self, data: bytes) -> tuple[str, bool]:
        """Store bytes unless they are there already, whole: (image_id, whether they are new)."""
        image_id = hashlib.sha256(data).hexdigest()
        path = self.path(image_id)
        if path.exists():
            if path.read_bytes() == data:
                return image_id, False
            log.warning("raw image %s was damaged in the store; restored from the source", path)
        with atomic_write(path) as partial:
            _write_read_only(partial, data)
        return image_id, True

    def get(self, image_id: str) -> bytes:
        """Return the bytes of ``image_id``.

        Raises:
            InputError: They are missing, or not the bytes that were stored.
        """
        path = self.path(image_id)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"raw image {path} is missing; {_FIX}") from None
        except OSError as error:
            raise InputError(f"raw image {path} can't be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != image_id:
            raise InputError(f"raw image {path} has changed since it was stored; {_FIX}")
        return data


_FIX = "bring it back from the source with: kedro run --pipelines ingest (same --env and --params)"


def _write_read_only(path: Path, data: bytes) -> None:
    # Made read-only at once: each call of the system makes the other threads wait.
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, new, 0o444), "wb", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@dataclass(frozen=True)
class RawImages:
    """One version of the raw images.

    ``table`` has one row per file of the source: file, image_id (None if the file could not be
    opened), bytes, problem (why it could not), and what the source says of it (label,
    original_split, source, filename_key, metadata). ``table.attrs`` say where it came from.
    """

    table: pd.DataFrame
    store: ObjectStore

    @property
    def image_ids(self) -> list[str]:
        """Distinct contents, in the order of their first file."""
        return list(self.table["image_id"].dropna().unique())


def store_files(
    files: SourceFiles,
    store: ObjectStore,
    on_stored: Callable[[str, bytes], None] = lambda image_id, data: None,
) -> pd.DataFrame:
    """Copy the bytes of every file into the store; return the manifest.

    ``stored`` is told each image_id and its bytes once they are safe, so that nobody need read them
    again; by several threads, and for copies several times.
    """

    def copy(file: str) -> _Copied:
        try:
            data = files.read(file)
        except OSError as error:
            return _Copied(None, 0, f"could not be opened: {error.strerror or error}", False)
        image_id, new = store.put(data)
        on_stored(image_id, data)
        return _Copied(image_id, len(data), None, new)

    copied = pd.DataFrame(ordered_map(copy, files.table["file"]), columns=_Copied._fields)
    log.info(
        "%d files from the source (%s): %d new contents stored",
        len(copied),
        printable(
            ", ".join(f"{key} {value}" for key, value in files.origin.items() if _is_short(value))
        ),
        copied.loc[copied["new"], "image_id"].nunique(),  # two threads may have stored one content
    )
    rest = files.table.drop(columns="file").reset_index(drop=True)
    manifest = pd.concat([files.table["file"], copied.drop(columns="new"), rest], axis=1)
    manifest.attrs["origin"] = files.origin
    return manifest


def _is_short(value: object) -> bool:
    return value is not None and not isinstance(value, list)


class _Copied(NamedTuple):
    image_id: str | None
    bytes: int
    problem: str | None
    new: bool
