"""Nodes of the pipeline `preprocess`."""

import logging

import pandas as pd

from skin_lesions.audit import enforce_fail_on
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.audit import Audit
from skin_lesions.config.split import Split
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data import splits as splitting
from skin_lesions.data.column_split import divide_by_column
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.groups import add_groups
from skin_lesions.data.provenance import ColumnSplitProvenance, SplitProvenance
from skin_lesions.data.tables import ImageTable, SplitTable

log = logging.getLogger(__name__)


def split_images(
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    audit_findings: AuditFindings,
    split: Split,
    audit: Audit,
) -> SplitTable:
    """Split the images and record what the split was made from.

    Stop the run if the audit has findings of severity ``audit.fail_on`` or above.
    """
    enforce_fail_on(audit_findings, image_table.version, audit.fail_on)
    images = image_table.frame
    table = splitting.split_images(images, image_groups, image_links, split)
    split_sizes = table["split"].value_counts()
    log.info(
        "Images split by policy %s: %d train, %d val, %d test; %d of %d readable files left out",
        split.policy,
        *(split_sizes[name] for name in splitting.SPLITS),
        len(images) - len(table),
        len(images),
    )
    if linked := int(table["uncertain_links"].gt(0).sum()):
        log.warning(
            "%s may show the same photograph as an image of another split (uncertain links). To "
            "remove such images from train and val: --params split.exclude_uncertain_links=true",
            pluralize(linked, "image"),
        )
    provenance = SplitProvenance(
        origin=image_table.provenance.origin,
        raw_images_version=image_table.provenance.raw_images_version,
        image_table_version=image_table.version,
        data_fingerprint=data_fingerprint(images),
        split_fingerprint=split_fingerprint(table),
        split_policy=split.policy,
        column_split=_describe_column_split(images, image_groups, split),
    )
    return SplitTable(table, provenance)


def _describe_column_split(
    images: pd.DataFrame, image_groups: pd.DataFrame, split: Split
) -> ColumnSplitProvenance | None:
    """Count and log what a split by a column leaves out; None with another policy."""
    if split.column is None or split.test_values is None:
        return None
    division = divide_by_column(add_groups(images, image_groups), split.column, split.test_values)
    log.info(
        "Test images have %s in %s. Left out: %s with %s in both parts, and %s without a value",
        printable(", ".join(split.test_values)),
        printable(split.column),
        pluralize(division.spanning_groups, "group"),
        pluralize(division.spanning_files, "file"),
        pluralize(division.missing_files, "file"),
    )
    return ColumnSplitProvenance(
        column=split.column,
        test_values=split.test_values,
        missing_files=division.missing_files,
        spanning_groups=division.spanning_groups,
        spanning_files=division.spanning_files,
    )
