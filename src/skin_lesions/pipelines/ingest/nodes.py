"""Nodes of the pipeline `ingest`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.source import Source
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.sources import open_source


def read_source(source: Source, ingest: Ingest) -> Any:
    """Request all files of the source; the data set stores and decodes them in one pass."""
    from skin_lesions.data.pixel_store import IngestRequest  # noqa: PLC0415  (imports torch)

    return IngestRequest(open_source(source), ingest.stored_image_size)


def decode_images(raw_images: RawImages, ingest: Ingest) -> Any:
    """Request all raw images at ``ingest.stored_image_size``; the data set decodes missing ones."""
    from skin_lesions.data.pixel_store import DecodeRequest  # noqa: PLC0415  (imports torch)

    return DecodeRequest(raw_images, ingest.stored_image_size)


def describe_images(
    raw_images: RawImages, pixel_store: Any, ingest: Ingest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Describe each readable file, and list unreadable files with the reason.

    Returns:
        image_table, quarantine
    """
    from skin_lesions.data.image_table import build_image_table  # noqa: PLC0415  (imports torch)

    decode_results = pixel_store.at(ingest.stored_image_size).index
    return build_image_table(raw_images.table, decode_results, ingest.max_unreadable_fraction)
