"""Nodes of the pipeline `preprocess`."""

import logging
from typing import Any

import pandas as pd

from skin_lesions.audit import enforce_fail_on
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.audit import Audit
from skin_lesions.config.split import Split
from skin_lesions.data import splits as splitting
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint

log = logging.getLogger(__name__)


def split_images(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    audit_findings: dict[str, Any],
    split: Split,
    audit: Audit,
) -> pd.DataFrame:
    """Split the images and record the versions of all inputs in the table.

    Stop the run if the audit has findings of severity ``audit.fail_on`` or above.
    """
    findings = AuditFindings.model_validate(audit_findings)
    enforce_fail_on(findings, image_table.attrs["version"], audit.fail_on)
    table = splitting.split_images(image_table, image_groups, split)
    table.attrs = {
        "split_policy": split.policy,
        "split_fingerprint": split_fingerprint(table),
        "data_fingerprint": data_fingerprint(image_table),
        "image_table_version": image_table.attrs["version"],
        "raw_images_version": image_table.attrs["raw_images_version"],
        "origin": image_table.attrs["origin"],
    }
    split_sizes = table["split"].value_counts()
    log.info(
        "Images split by policy %s: %d train, %d val, %d test; %d of %d readable files left out",
        split.policy,
        *(split_sizes[name] for name in splitting.SPLITS),
        len(image_table) - len(table),
        len(image_table),
    )
    return table
