"""Interface of an image source: the table of its files and a function that reads them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import pandas as pd

IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "jfif", "png", "bmp", "tif", "tiff", "webp", "gif"})


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source. The files are listed, but not read yet.

    ``table`` has one row per file, with the columns file, label, original_split (None if the source
    has no split), source, filename_key (lesion or patient, from the file name) and the columns of
    the metadata. ``read(file)`` returns the bytes of a file. ``origin`` describes the source: its
    kind, its location or version, and the parameters that selected it.
    """

    table: pd.DataFrame
    read: Callable[[str], bytes]
    origin: dict[str, Any] = field(default_factory=dict)


def has_image_suffix(file: str) -> bool:
    """Return whether the name of a file ends with one of ``IMAGE_SUFFIXES``, in any case."""
    return PurePath(file).suffix.removeprefix(".").casefold() in IMAGE_SUFFIXES


def is_synthetic(table: pd.DataFrame) -> bool:
    """Return whether the table contains synthetic images (``source.kind: demo``)."""
    return bool(table.attrs.get("origin", {}).get("kind") == "demo")
