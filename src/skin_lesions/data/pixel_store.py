"""Store of decoded images: append-only, memory-mapped, one uint8 square per image_id and size.

Each size has a folder ``<size>px-v<decoder>`` with two files. ``images.bin`` contains the squares,
one after the other. ``index.jsonl`` has one line per image_id: its row and checksum, or the reason
why it is unreadable. An index line is written after its pixels. The last data that a killed run
wrote is therefore either complete or not in the index. If the pixels are shorter than the index
(after an interrupted copy), the missing images are not in the index either, and are decoded again.

The checksum of each image is compared when the image is read for the first time. A damaged image is
decoded again to a new row. Its new line in the index replaces the earlier line.
"""

import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, TypedDict
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.sources.base import SourceFiles

if TYPE_CHECKING:  # it imports torch, which must not be imported to list the pipelines
    from skin_lesions.data.decoding import DecodedImage

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
DECODER_VERSION = 2  # increase it when decoding.decode returns different pixels
_FLUSH_EVERY = 64  # images between two writes of the index


@dataclass(frozen=True)
class IngestRequest:
    """A request to read a source and to store its images, decoded at one size (pixels)."""

    files: SourceFiles
    size: int


@dataclass(frozen=True)
class DecodeRequest:
    """A request to store these raw images, decoded at one size (pixels)."""

    images: RawImages
    size: int


@dataclass(frozen=True)
class PixelStore:
    """All decoded images of a data root, at every size requested so far."""

    folder: Path

    def at(self, size: int) -> "PixelArray":
        """Open the images decoded at ``size``; only the index is read."""
        return PixelArray(self.folder / f"{size}px-v{DECODER_VERSION}", size)

    def summary(self) -> str:
        """Return the number of images at each size, as JSON."""
        folders = sorted(self.folder.glob("*px-v*"))
        sizes = [int(folder.name.partition("px")[0]) for folder in folders]
        counts = {
            folder.name: len(PixelArray(folder, size).index)
            for folder, size in zip(folders, sizes, strict=True)
        }
        return json.dumps({"images": counts})

    def add(self, request: DecodeRequest) -> None:
        """Decode the images that are missing or damaged in the store, on all CPU cores.

        Raises:
            InputError: The raw file of a requested image is missing or has changed.
        """
        images, raw = self.at(request.size), request.images
        requested = raw.image_ids
        missing = [i for i in requested if i not in images.index.index]
        # The store also has images of old versions, whose raw files may be deleted.
        available = set(requested)
        damaged = [i for i in images.damaged_ids() if i in available or raw.store.path(i).exists()]
        if damaged:
            log.warning(
                "%d of %d stored images at %d pixels are damaged and are decoded again, e.g. %s",
                len(damaged),
                len(images.index),
                images.size,
                damaged[0],
            )
        if not missing and not damaged:
            return
        with open_for_append(images, replace=damaged) as writer:
            for _ in ordered_map(
                lambda i: writer.decode(i, raw.store.get(i)), [*missing, *damaged]
            ):
                pass


@dataclass(frozen=True)
class PixelArray:
    """Images of one size: ``images[image_id]`` is (size, size, 3) uint8, read from a memory map.

    ``index`` has one row per image_id that was decoded before: row (-1 if unreadable), width,
    height, format, crc32 and reason. Images that are decoded later are not visible.
    """

    folder: Path
    size: int

    def __getstate__(self) -> dict[str, Path | int]:
        """Pickle only the folder and the size, so another process opens the files itself."""
        return {"folder": self.folder, "size": self.size}

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row per image_id in the store.

        Raises:
            InputError: The files of the store cannot be read.
        """
        columns = ["image_id", "row", "width", "height", "format", "crc32", "reason"]
        try:
            entries, _ = _read_index(self.folder, self.size)
        except OSError as error:
            raise InputError(
                f"The decoded images in {self.folder} cannot be read ({error.strerror}). Fix: "
                "change its permissions, so that this user can read it"
            ) from None
        table = pd.DataFrame(entries, columns=columns)
        return table.drop_duplicates("image_id", keep="last").set_index("image_id")

    @cached_property
    def array(self) -> npt.NDArray[np.uint8]:
        """All squares, (n, size, size, 3), memory-mapped. ``read`` also compares the checksums."""
        n = int(self.index["row"].max()) + 1 if len(self.index) else 0
        if n == 0:
            return np.empty((0, self.size, self.size, 3), np.uint8)
        shape = (n, self.size, self.size, 3)
        return np.memmap(self.folder / "images.bin", np.uint8, mode="r", shape=shape)

    def rows(self, image_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of ``array`` that contain these images.

        Raises:
            InputError: Some images were not decoded at this size, or are unreadable.
        """
        requested = pd.Index(image_ids)
        rows = self.index["row"].reindex(requested).fillna(-1).to_numpy(np.int64)
        if (rows < 0).any():
            missing = requested[rows < 0]
            raise InputError(
                f"{len(missing)} of {len(requested)} images are not decoded at {self.size} pixels "
                f"(e.g. {missing[0]}). Fix: kedro run --pipelines ingest "
                f"--params ingest.stored_image_size={self.size} (same --env and data_root)"
            )
        return rows

    @cached_property
    def _checksums(self) -> npt.NDArray[np.int64]:
        """CRC-32 of each row, (n,); -1 for rows without an image."""
        checksums = np.full(len(self.array), -1, np.int64)
        readable = self.index[self.index["row"] >= 0]
        checksums[readable["row"]] = readable["crc32"].fillna(-1)
        return checksums

    @cached_property
    def _is_verified(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.array), bool)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return a copy of the images in these rows, (n, size, size, 3).

        The checksum of each image is compared the first time.

        Raises:
            InputError: The pixels of an image have changed since it was stored.
        """
        squares = self.array[rows]
        for position in np.flatnonzero(~self._is_verified[rows]):
            if crc32(squares[position]) != self._checksums[rows[position]]:
                raise self._damage_error()
        self._is_verified[rows] = True
        return squares

    def damaged_ids(self) -> list[str]:
        """List the images whose pixels have changed since they were stored; reads all pixels."""
        rows = self.index["row"][self.index["row"] >= 0]
        checksums = ordered_map(lambda row: crc32(self.array[row]), rows)
        stored = self._checksums[rows]
        damaged = [a != b for a, b in zip(checksums, stored, strict=True)]
        return rows.index[damaged].tolist()

    def _damage_error(self) -> InputError:
        damaged = self.damaged_ids()
        return InputError(
            f"{len(damaged)} of {len(self.index)} stored images are damaged: their pixels in "
            f"{self.folder / 'images.bin'} have changed. Image ids: {', '.join(damaged[:3])}"
            f"{', ...' if len(damaged) > 3 else ''}. Fix: kedro run --pipelines ingest "
            "(same --env and --params), which decodes them again"
        )

    def __getitem__(self, image_id: str) -> Pixels:
        return self.read(self.rows([image_id]))[0]

    def subset(self, image_ids: Iterable[str]) -> "PixelSubset":
        """Return these images, indexed in this order; no pixels are read yet."""
        return PixelSubset(self, self.rows(image_ids))


@contextmanager
def open_for_append(images: PixelArray, replace: Collection[str] = ()) -> Iterator["PixelWriter"]:
    """Open the files of ``images`` for writing; remove the incomplete data of a killed run.

    ``images`` does not change. Open the store again to read the new images.

    Args:
        images: The images of one size.
        replace: The image_ids of stored images that are added again.
    """
    images.folder.mkdir(parents=True, exist_ok=True)
    index_path, images_path = images.folder / "index.jsonl", images.folder / "images.bin"
    entries, length = _read_index(images.folder, images.size)
    row = max((entry["row"] for entry in entries), default=-1) + 1
    images_path.touch()
    index_path.touch()
    with images_path.open("r+b") as pixels, index_path.open("r+b") as index:
        _truncate(pixels, row * images.size**2 * 3)
        _truncate(index, length)
        known = {entry["image_id"] for entry in entries}.difference(replace)
        writer = PixelWriter(images.size, known, row, pixels, index)
        start = time.perf_counter()
        yield writer
        writer.commit()
    if writer.added:
        log.info(
            "Decoded %d images at %d pixels (%.0f images/s)",
            writer.added,
            images.size,
            writer.added / (time.perf_counter() - start),
        )


@dataclass(frozen=True)
class PixelSubset:
    """A subset of the images of a store: ``images[number]`` is (size, size, 3) uint8."""

    images: PixelArray
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Pixels:
        return self.images.read(self.rows[[number]])[0]


class PixelWriter:
    """Thread-safe writer that appends images; opened by ``open_for_append``."""

    def __init__(self, size: int, known: set[str], row: int, pixels: BinaryIO, index: BinaryIO):
        self._size, self._claimed, self._row = size, known, row
        self._pixels, self._index = pixels, index
        self._lines: list[bytes] = []
        self._lock = Lock()
        self.added = 0

    def decode(self, image_id: str, data: bytes) -> None:
        """Decode and add an image, unless it is stored already or another thread decodes it."""
        with self._lock:
            if image_id in self._claimed:
                return
            self._claimed.add(image_id)
        from skin_lesions.data.decoding import decode  # noqa: PLC0415 (torch)

        try:
            self.add(image_id, decode(data, self._size))
        except UnreadableImageError as reason:
            self.add_unreadable(image_id, str(reason))

    def add(self, image_id: str, image: "DecodedImage") -> None:
        """Add an image."""
        checksum = crc32(image.pixels.data)
        with self._lock:
            self._pixels.seek(self._row * self._size**2 * 3)  # an earlier write may have failed
            self._pixels.write(image.pixels.data)
            entry: _IndexEntry = {
                "image_id": image_id,
                "row": self._row,
                "width": image.width,
                "height": image.height,
                "format": image.format,
                "crc32": checksum,
            }
            self._row += 1
            self._add_to_index(entry)

    def add_unreadable(self, image_id: str, reason: str) -> None:
        """Add the reason why an image is unreadable."""
        with self._lock:
            self._add_to_index({"image_id": image_id, "row": -1, "reason": reason})

    def _add_to_index(self, entry: "_IndexEntry") -> None:
        self._lines.append(json.dumps(entry).encode() + b"\n")
        self.added += 1
        if len(self._lines) >= _FLUSH_EVERY:
            self.commit()

    def commit(self) -> None:
        """Write the pixels of the added images, then their index lines."""
        self._pixels.flush()
        self._index.write(b"".join(self._lines))
        self._index.flush()
        self._lines.clear()


class _IndexEntry(TypedDict, total=False):
    """A line of the index; an unreadable image has row -1 and a reason."""

    image_id: str
    row: int
    width: int
    height: int
    format: str
    crc32: int
    reason: str


def _read_index(folder: Path, size: int) -> tuple[list[_IndexEntry], int]:
    """Return the valid index entries and their length in bytes.

    The index is read up to the first line that is incomplete, or whose pixels are incomplete.
    """
    images = folder / "images.bin"
    n_squares = images.stat().st_size // (size**2 * 3) if images.exists() else 0
    entries: list[_IndexEntry] = []
    length = 0
    for line in _complete_lines(folder / "index.jsonl"):
        entry = _parse_entry(line)
        if entry is None or entry["row"] >= n_squares:
            break
        entries.append(entry)
        length += len(line) + 1
    return entries, length


def _parse_entry(line: bytes) -> _IndexEntry | None:
    """Return the entry in a line of the index, or None if the line is damaged."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("image_id"), str)
    return entry if is_entry and isinstance(entry.get("row"), int) else None


def _truncate(file: BinaryIO, length: int) -> None:
    """Truncate a file to a length and seek to its end."""
    if file.seek(0, 2) > length:  # only if needed: ext4 flushes a file truncated to zero at once
        file.truncate(length)
        file.seek(length)


def _complete_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, without an incomplete last line."""
    if not path.exists():
        return []
    return path.read_bytes().split(b"\n")[:-1]
