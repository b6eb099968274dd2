"""Interface of an image source: the table of its files and a function that reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd

from skin_lesions.data.provenance import Origin

IMAGE_SUFFIXES = frozenset({"jpg", "jpeg", "jfif", "png", "bmp", "tif", "tiff", "webp", "gif"})


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source. The files are listed, but not read yet.

    ``table`` has one row per file, with the columns file, label, original_split (None if the source
    has no split), source, filename_key (lesion or patient, from the file name) and the columns of
    the metadata. ``read(file)`` returns the bytes of a file.
    """

    table: pd.DataFrame
    read: Callable[[str], bytes]
    origin: Origin


def has_image_suffix(file: str) -> bool:
    """Return whether the name of a file ends with one of ``IMAGE_SUFFIXES``, in any case."""
    return PurePath(file).suffix.removeprefix(".").casefold() in IMAGE_SUFFIXES
