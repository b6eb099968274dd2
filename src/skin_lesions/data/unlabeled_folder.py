"""Images of a folder without labels: decoded in memory, and grouped.

This module imports torch.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.decoding import DecodedImage, decode, decode_within
from skin_lesions.data.groups import group_images
from skin_lesions.data.image_files import Pixels, UnreadableImageError
from skin_lesions.data.near_duplicates import find_near_duplicates
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.sources.file_listing import list_files, read_image_bytes
from skin_lesions.data.sources.filename_keys import filename_keys

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnlabeledImages:
    """Readable images of a folder; of files with equal bytes, the first one.

    Attributes:
        table: One row per image: file, image_id, width, height (pixels), source (the first folder
            of the path, or the name of the searched folder) and group_id.
        squares: (n, size, size, 3) uint8, in the order of the table.
    """

    table: pd.DataFrame
    squares: NDArray[np.uint8]

    def read(self, image_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Return the squares of image_ids, (m, size, size, 3)."""
        return self.squares[pd.Index(self.table["image_id"]).get_indexer(pd.Index(image_ids))]


def read_unlabeled_folder(
    folder: Path, size: int, *, filename_pattern: str | None, follow_symlinks: bool, option: str
) -> UnlabeledImages:
    """Read all images of a folder, and group them by filename key and near-duplicates.

    The images stay in memory: 0.2 MB each at 256 pixels.

    Args:
        folder: Searched with its folders.
        size: Width and height of the squares, pixels.
        filename_pattern: As ``source.filename_pattern``.
        follow_symlinks: Whether to follow links that lead out of the folder.
        option: The setting that follows such links, for error messages.

    Raises:
        InputError: The folder does not exist, or contains no readable image.
    """
    if not folder.is_dir():
        raise InputError(
            f"localize.images is not a folder ({folder}). Expected an existing folder with images. "
            "Fix: --params localize.images=/path/to/images"
        )
    boundary = None if follow_symlinks else folder
    paths, _ = list_files(folder, [], boundary)

    def read(file: str) -> tuple[str, DecodedImage] | str:
        try:
            data = read_image_bytes(paths[file], boundary, option)
            return hashlib.sha256(data).hexdigest(), decode(data, size)
        except (OSError, UnreadableImageError) as error:
            return str(error)

    found: dict[str, tuple[str, DecodedImage]] = {}  # by image_id: file and image
    unreadable: list[tuple[str, str]] = []
    for file, result in zip(paths, ordered_map(read, paths), strict=True):
        if isinstance(result, str):
            unreadable.append((file, result))
        else:
            found.setdefault(result[0], (file, result[1]))
    if not found:
        raise InputError(_no_image(folder, unreadable))
    if unreadable:
        file, reason = unreadable[0]
        log.warning(
            "%s cannot be read, e.g. %s: %s",
            pluralize(len(unreadable), "file"),
            printable(file),
            printable(reason),
        )
    files = [file for file, _ in found.values()]
    table = pd.DataFrame(
        {
            "file": files,
            "image_id": list(found),
            "width": [image.width for _, image in found.values()],
            "height": [image.height for _, image in found.values()],
            "source": [file.split("/")[0] if "/" in file else folder.name for file in files],
            "filename_key": filename_keys(files, filename_pattern),
        }
    )
    pairs = find_near_duplicates(_Originals(paths, files, boundary))
    groups, _ = group_images(table, pairs)
    table = table.drop(columns="filename_key").assign(group_id=groups["group_id"])
    return UnlabeledImages(
        table=table, squares=np.stack([image.pixels for _, image in found.values()])
    )


def _no_image(folder: Path, unreadable: Sequence[tuple[str, str]]) -> str:
    example = ""
    if unreadable:
        example = f" First file: {printable(unreadable[0][0])}: {printable(unreadable[0][1])}."
    return (
        f"localize.images contains no readable image ({folder}).{example} Expected image files. "
        "Fix: --params localize.images=/path/to/images"
    )


@dataclass(frozen=True)
class _Originals:
    """The original images of some files, decoded one at a time."""

    paths: Mapping[str, Path]
    files: Sequence[str]
    boundary: Path | None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Pixels:
        data = read_image_bytes(self.paths[self.files[number]], self.boundary)
        return decode_within(data, DEFAULT_CONFIG.detection_size**2)
