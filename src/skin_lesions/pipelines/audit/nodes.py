"""Nodes of the pipeline `audit`."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit import run_audit, summary_messages
from skin_lesions.audit.context import AuditContext
from skin_lesions.config.audit import Audit
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.split import Split
from skin_lesions.data import groups as grouping
from skin_lesions.data.near_duplicates import find_near_duplicates
from skin_lesions.data.raw_store import RawImages
from skin_lesions.reporting import figures

log = logging.getLogger(__name__)


def group_images(
    image_table: pd.DataFrame, pixel_store: Any, ingest: Ingest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group images by file names, metadata and pixels.

    Returns:
        image_groups, image_links
    """
    images = pixel_store.at(ingest.stored_image_size).subset(image_table["image_id"].unique())
    return grouping.group_images(image_table, find_near_duplicates(images))


def audit_images(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    pixel_store: Any,
    raw_images: RawImages,
    ingest: Ingest,
    audit: Audit,
    split: Split,
) -> dict[str, Any]:
    """Run the audit and log the severe findings."""
    audit_findings = run_audit(
        AuditContext(
            image_table=image_table,
            image_table_version=image_table.attrs["version"],
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
    return audit_findings.model_dump(mode="json")


def draw_linked_image_pairs(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    pixel_store: Any,
    ingest: Ingest,
    audit: Audit,
) -> Figure:
    """Draw linked images side by side, a few of each link type."""
    return figures.draw_linked_image_pairs(
        image_table,
        image_groups,
        image_links,
        pixel_store.at(ingest.stored_image_size),
        per_kind=audit.example_pairs_per_type,
    )
