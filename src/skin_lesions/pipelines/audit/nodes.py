"""Nodes of the pipeline `audit`."""

import logging

import pandas as pd

from skin_lesions.audit import run_audit, summary_messages
from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.audit import Audit
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.split import Split
from skin_lesions.data import groups as grouping
from skin_lesions.data.near_duplicates import find_near_duplicates
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ImageTable

log = logging.getLogger(__name__)


def group_images(
    image_table: ImageTable, raw_images: RawImages
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group images by file names, metadata and pixels.

    The pixels are those of the original images. The squares of the pixel store are too small to
    find magnified details, and their aspect ratio is changed.

    Returns:
        image_groups, image_links
    """
    from skin_lesions.data.original_images import OriginalImages  # noqa: PLC0415 (torch)

    table = image_table.frame
    images = OriginalImages(
        store=raw_images.store,
        image_ids=table["image_id"].unique().tolist(),
        max_area=DEFAULT_CONFIG.detection_size**2,
    )
    return grouping.group_images(table, find_near_duplicates(images))


def audit_images(
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    pixel_store: PixelStore,
    raw_images: RawImages,
    ingest: Ingest,
    audit: Audit,
    split: Split,
) -> AuditFindings:
    """Run the audit and log the severe findings."""
    audit_findings = run_audit(
        AuditContext(
            source_table=raw_images.table,
            image_table=image_table.frame,
            image_table_version=image_table.version,
            image_groups=image_groups,
            image_links=image_links,
            quarantine=quarantine,
            images=pixel_store.at(ingest.stored_image_size),
            raw_images=raw_images.store,
            split=split,
            parameters=audit,
        )
    )
    for message in summary_messages(audit_findings):
        log.info(message)
    return audit_findings
