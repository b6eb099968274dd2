"""Nodes of ingest."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.source import Source
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.sources import open_source


def read_source(source: Source, ingest: Ingest) -> Any:
    """Ask for every file of the source; the data set copies and decodes them in one pass."""
    from skin_lesions.data.pixel_store import Reading  # noqa: PLC0415  (imports torch)

    return Reading(open_source(source), ingest.pixel_size)


def decode_images(raw_images: RawImages, ingest: Ingest) -> Any:
    """Ask for every raw image at ``ingest.pixel_size``; the data set decodes what still lacks."""
    from skin_lesions.data.pixel_store import Decoding  # noqa: PLC0415  (imports torch)

    return Decoding(raw_images, ingest.pixel_size)


def describe_images(
    raw_images: RawImages, pixels: Any, ingest: Ingest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say of every file what it is, or why it can't be used: (image_table, quarantine)."""
    from skin_lesions.data.image_table import describe_files  # noqa: PLC0415  (imports torch)

    checks = pixels.at(ingest.pixel_size).index
    return describe_files(raw_images.table, checks, ingest.max_unreadable_share)
