"""Nodes of the pipeline `ingest`."""

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.source import Source
from skin_lesions.data.image_table import build_image_table
from skin_lesions.data.pixel_store import DecodeRequest, IngestRequest, PixelStore
from skin_lesions.data.provenance import ImageProvenance
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.sources import open_source
from skin_lesions.data.tables import ImageTable


def read_source(source: Source, ingest: Ingest) -> IngestRequest:
    """Request all files of the source; the data set stores and decodes them in one pass."""
    return IngestRequest(open_source(source), ingest.stored_image_size)


def decode_images(raw_images: RawImages, ingest: Ingest) -> DecodeRequest:
    """Request all raw images at ``ingest.stored_image_size``; the data set decodes missing ones."""
    return DecodeRequest(raw_images, ingest.stored_image_size)


def describe_images(
    raw_images: RawImages, pixel_store: PixelStore, ingest: Ingest
) -> tuple[ImageTable, pd.DataFrame]:
    """Describe each readable file, and list unreadable files with the reason.

    Returns:
        image_table, quarantine
    """
    decode_results = pixel_store.at(ingest.stored_image_size).index
    table, quarantine = build_image_table(
        raw_images.table, decode_results, ingest.max_unreadable_fraction
    )
    provenance = ImageProvenance(origin=raw_images.origin, raw_images_version=raw_images.version)
    return ImageTable(table, provenance), quarantine
