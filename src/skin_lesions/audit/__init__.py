"""Data audit: duplicates, label conflicts, leakage, class counts and unreadable files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pandas as pd

from skin_lesions.audit.class_counts import (
    classes_missing_from_test,
    equal_class_counts,
    repeated_class_counts,
    small_classes,
)
from skin_lesions.audit.finding import SEVERITIES, Finding
from skin_lesions.audit.label_conflicts import (
    _exact_duplicate_label_conflicts,
    _groups_with_multiple_labels,
    _near_duplicate_label_conflicts,
    _pixel_identical_label_conflicts,
)
from skin_lesions.audit.leakage import (
    _duplicate_pairs,
    _exact_duplicates,
    _exact_duplicates_across_splits,
    _groups_across_splits,
    _leakage_by_class,
    _leakage_by_link_type,
    _near_duplicates,
)
from skin_lesions.config.audit import Audit
from skin_lesions.config.split import Split
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS, add_groups, attach_file_columns


def run_audit(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    split: Split,
    audit: Audit,
    extra_findings: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Check a dataset for duplicates, label conflicts and leakage.

    Args:
        image_table: One row per readable file.
        image_groups: group_id and pixel_id of every such file.
        image_links: The links between files, as returned by ``group_images``.
        quarantine: Unreadable files: file and reason.
        split: The planned split. It determines how many test images each class will have.
        audit: Number of examples per finding, and the interval width of a small class.
        extra_findings: Findings of other checks, for example of the pixels.

    Returns:
        ``summary`` (counts of files, images, groups, classes, quarantined; the largest groups) and
        ``findings``, the most severe first. Findings with a count of 0 are left out.
    """
    table = add_groups(image_table, image_groups).reset_index(drop=True)
    pairs = _duplicate_pairs(table)
    links = attach_file_columns(image_links, table[["file", "label", "original_split"]])
    near_duplicates = links[links["kind"].isin(NEAR_DUPLICATE_KINDS.values())]
    candidates = [
        _exact_duplicates_across_splits(pairs),
        _groups_across_splits(table),
        _leakage_by_class(table),
        _leakage_by_link_type(links),
        _exact_duplicate_label_conflicts(pairs),
        _pixel_identical_label_conflicts(table),
        _near_duplicate_label_conflicts(near_duplicates),
        _groups_with_multiple_labels(table),
        _exact_duplicates(table, pairs),
        _near_duplicates(near_duplicates),
        _unreadable_files(quarantine),
        classes_missing_from_test(table),
        repeated_class_counts(image_table),
        equal_class_counts(image_table),
        small_classes(image_table, image_groups, split, audit.max_interval_width),
        *extra_findings,
    ]
    findings = [finding for finding in candidates if finding.count]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return {
        "summary": {
            "files": len(table) + len(quarantine),
            "images": int(table["image_id"].nunique()),
            "groups": int(table["group_id"].nunique()),
            "classes": int(table["label"].nunique()),
            "quarantined": len(quarantine),
            "largest_groups": [int(n) for n in table["group_id"].value_counts().head(5)],
        },
        "findings": [asdict(f) | {"examples": f.examples[: audit.max_examples]} for f in findings],
    }


def enforce_fail_on(
    audit_findings: Mapping[str, Any],
    image_table_version: str,
    fail_on: Literal["never", "high", "medium", "low"],
) -> None:
    """Stop if a finding has the severity ``audit.fail_on`` or a higher one.

    Raises:
        InputError: There is such a finding; the message contains the most severe one. Or the
            findings belong to other images.
    """
    if fail_on == "never":
        return
    if audit_findings["image_table_version"] != image_table_version:
        raise InputError(
            f"The audit findings (audit.fail_on={fail_on}) belong to image_table version "
            f"{audit_findings['image_table_version']}. Expected version {image_table_version}. "
            "Fix: kedro run --pipelines audit,preprocess (same --env and --params)"
        )
    severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    found = [f for f in audit_findings["findings"] if f["severity"] in severe]
    if found:
        raise InputError(
            f"The audit found {pluralize(len(found), 'finding')} of severity {fail_on} or above "
            f"(parameter audit.fail_on). First: {printable(found[0]['message'])} "
            f"Recommendation: {printable(found[0]['recommendation'])} See audit_findings.json for "
            "all of them. To continue anyway: --params audit.fail_on=never"
        )


def _unreadable_files(quarantine: pd.DataFrame) -> Finding:
    rows = quarantine[["file", "reason"]].to_numpy().tolist()
    return Finding(
        "unreadable_files",
        "medium",
        f"Unreadable files were left out: {pluralize(len(quarantine), 'file')}.",
        len(quarantine),
        {"files": len(quarantine)},
        rows,
        "See quarantine.csv for each file and the reason.",
    )


def summary_messages(findings: dict[str, Any]) -> Iterable[str]:
    """Yield the counts of the dataset, then the messages of the findings of severity high."""
    counts = findings["summary"]
    yield (
        f"{counts['files']:,} files, {counts['images']:,} distinct images in "
        f"{counts['groups']:,} groups, {counts['classes']} classes; "
        f"{counts['quarantined']} quarantined"
    )
    for finding in findings["findings"]:
        if finding["severity"] == "high":
            yield finding["message"]
