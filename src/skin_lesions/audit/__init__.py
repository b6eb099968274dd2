"""Problems in a set of images."""

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
from skin_lesions.audit.finding import pluralize as _count
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
from skin_lesions.core.text import printable
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
    """Look for copies, contradictions and leaks.

    Args:
        image_table: One row per readable file.
        image_groups: group_id and pixel_id of every such file.
        image_links: What links which files, as ``group_images`` gives it.
        quarantine: file and reason of what could not be read.
        split: The split to come; says how many test images a class will have.
        audit: How many examples each finding shows, and which classes count as small.
        extra_findings: Findings from elsewhere, such as of the pixels.

    Returns:
        ``summary`` (counts of files, images, groups, classes, quarantined; the largest groups) and
        ``findings``, the gravest first; a finding that counts nothing is left out.
    """
    table = add_groups(image_table, image_groups).reset_index(drop=True)
    pairs = _duplicate_pairs(table)
    links = attach_file_columns(image_links, table[["file", "label", "original_split"]])
    by_pixels = links[links["kind"].isin(NEAR_DUPLICATE_KINDS.values())]
    candidates = [
        _exact_duplicates_across_splits(pairs),
        _groups_across_splits(table),
        _leakage_by_class(table),
        _leakage_by_link_type(links),
        _exact_duplicate_label_conflicts(pairs),
        _pixel_identical_label_conflicts(table),
        _near_duplicate_label_conflicts(by_pixels),
        _groups_with_multiple_labels(table),
        _exact_duplicates(table, pairs),
        _near_duplicates(by_pixels),
        _quarantined(quarantine),
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
    """Stop if a finding is as grave as ``audit.fail_on`` says, or graver.

    Raises:
        InputError: There is one; the text tells the gravest. Or the findings are about other images.
    """
    if fail_on == "never":
        return
    if audit_findings["image_table_version"] != image_table_version:
        raise InputError(
            f"audit.fail_on={fail_on}, but the findings are about image_table version "
            f"{audit_findings['image_table_version']}, and this is {image_table_version}; audit it with: "
            "kedro run --pipelines audit,preprocess (same --env and --params)"
        )
    grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    found = [f for f in audit_findings["findings"] if f["severity"] in grave]
    if found:
        raise InputError(
            f"audit.fail_on={fail_on}, and the audit found {_count(len(found), 'such thing')}. First: "
            f"{printable(found[0]['message'])} What to do: {printable(found[0]['recommendation'])} All of them stand in "
            "audit_findings.json; to go on nevertheless: --params audit.fail_on=never"
        )


def _quarantined(quarantine: pd.DataFrame) -> Finding:
    rows = quarantine[["file", "reason"]].to_numpy().tolist()
    return Finding(
        "unreadable_files",
        "medium",
        f"Left out, since they can't be used: {_count(len(quarantine), 'file')}.",
        len(quarantine),
        {"files": len(quarantine)},
        rows,
        "quarantine.csv names each file and the reason.",
    )


def summary_messages(findings: dict[str, Any]) -> Iterable[str]:
    """Tell an audit in a few lines: what there is, then the grave findings."""
    counts = findings["summary"]
    yield (
        f"{counts['files']:,} files, {counts['images']:,} different pictures in {counts['groups']:,} "
        f"groups, {counts['classes']} classes; {counts['quarantined']} quarantined"
    )
    for finding in findings["findings"]:
        if finding["severity"] == "high":
            yield finding["message"]
