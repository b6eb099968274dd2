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
    from skin_lesions.data.pixel_store import IngestRequest  # noqa: PLC0415  (imports torch)

    return IngestRequest(open_source(source), ingest.stored_image_size)


def decode_images(raw_images: RawImages, ingest: Ingest) -> Any:
    """Ask for every raw image at ``ingest.stored_image_size``; the data set decodes what still lacks."""
    from skin_lesions.data.pixel_store import DecodeRequest  # noqa: PLC0415  (imports torch)

    return DecodeRequest(raw_images, ingest.stored_image_size)


def describe_images(
    raw_images: RawImages, pixel_store: Any, ingest: Ingest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say of every file what it is, or why it can't be used: (image_table, quarantine)."""
    from skin_lesions.data.image_table import build_image_table  # noqa: PLC0415  (imports torch)

    checks = pixel_store.at(ingest.stored_image_size).index
    return build_image_table(raw_images.table, checks, ingest.max_unreadable_fraction)
