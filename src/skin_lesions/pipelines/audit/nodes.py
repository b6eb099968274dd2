"""Nodes of audit."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit import find, summary_sentences
from skin_lesions.audit.finding import Finding
from skin_lesions.config.audit import Audit
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.split import Split
from skin_lesions.data import groups as grouping
from skin_lesions.data.near_duplicates import find_copies
from skin_lesions.data.raw_store import RawImages
from skin_lesions.reporting import figures

log = logging.getLogger(__name__)


def group_images(
    image_table: pd.DataFrame, pixels: Any, ingest: Ingest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group by all evidence, the pixels included: (image_groups, image_links)."""
    images = pixels.at(ingest.pixel_size).only(image_table["image_id"].unique())
    return grouping.group_images(image_table, find_copies(images))


def find_problems(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    pixels: Any,
    raw_images: RawImages,
    ingest: Ingest,
    audit: Audit,
    split: Split,
) -> dict[str, Any]:
    """Collect the findings and tell the grave ones in the log."""
    from skin_lesions.audit import shortcuts  # noqa: PLC0415  (imports torch)
    from skin_lesions.audit.image_quality import suspicious_files  # noqa: PLC0415  (imports torch)

    squares = pixels.at(ingest.pixel_size)
    probes = shortcuts.probe_shortcuts(
        image_table,
        image_groups,
        squares,
        raw_images.store,
        sample=audit.probe_images,
        seed=audit.seed,
        replicates=audit.bootstrap_replicates,
    )
    more: list[Finding] = [
        *shortcuts.shortcut_findings(probes),
        *suspicious_files(image_table, squares),
    ]
    findings = find(image_table, image_groups, image_links, quarantine, split, audit, more)
    findings["shortcuts"] = [probe.as_dict() for probe in probes]
    findings["image_table_version"] = image_table.attrs["version"]
    for sentence in summary_sentences(findings):
        log.info(sentence)
    return findings


def draw_example_pairs(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    pixels: Any,
    ingest: Ingest,
    audit: Audit,
) -> Figure:
    """Show linked pictures side by side, some of each kind of link."""
    return figures.example_pairs(
        image_table,
        image_groups,
        image_links,
        pixels.at(ingest.pixel_size),
        per_kind=audit.example_pairs,
    )
