"""Data audit: duplicates, label conflicts, leakage, class counts and unreadable files."""

from collections.abc import Iterator, Sequence
from typing import Literal

from skin_lesions.audit import registry
from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import SEVERITIES, Finding
from skin_lesions.audit.findings import AuditFindings, AuditSummary
from skin_lesions.audit.shortcuts.findings import shortcuts
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable


def run_audit(
    context: AuditContext, checks: Sequence[registry.Check] | None = None
) -> AuditFindings:
    """Run checks of the registry, and count the files, images, groups and classes.

    Args:
        context: The data.
        checks: The checks; None: all of them. The results of the shortcut probes belong to the
            check ``shortcuts``.

    Returns:
        The findings, the most severe first, each with ``audit.max_examples`` examples at most.
    """
    checks = registry.CHECKS if checks is None else checks
    findings: list[Finding] = []
    for check in checks:
        findings += check(context)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))  # a stable sort
    max_examples = context.parameters.max_examples
    probes = context.shortcut_probes if shortcuts in checks else []
    return AuditFindings(
        summary=_summary(context),
        findings=[
            finding.model_copy(update={"examples": finding.examples[:max_examples]})
            for finding in findings
        ],
        shortcut_probes=[probe.result() for probe in probes],
        image_table_version=context.image_table_version,
    )


def _summary(context: AuditContext) -> AuditSummary:
    table = context.table
    quarantined = len(context.quarantine)
    return AuditSummary(
        files=len(table) + quarantined,
        images=table["image_id"].nunique(),
        groups=table["group_id"].nunique(),
        classes=table["label"].nunique(),
        quarantined=quarantined,
        largest_groups=table["group_id"].value_counts().head(5).tolist(),
    )


def enforce_fail_on(
    audit_findings: AuditFindings,
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
    if audit_findings.image_table_version != image_table_version:
        raise InputError(
            f"The audit findings (audit.fail_on={fail_on}) belong to image_table version "
            f"{audit_findings.image_table_version}. Expected version {image_table_version}. "
            "Fix: kedro run --pipelines audit,preprocess (same --env and --params)"
        )
    severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    found = [finding for finding in audit_findings.findings if finding.severity in severe]
    if found:
        raise InputError(
            f"The audit found {pluralize(len(found), 'finding')} of severity {fail_on} or above "
            f"(parameter audit.fail_on). First: {printable(found[0].message)} "
            f"Recommendation: {printable(found[0].recommendation)} See audit_findings.json for "
            "all of them. To continue anyway: --params audit.fail_on=never"
        )


def summary_messages(audit_findings: AuditFindings) -> Iterator[str]:
    """Yield the counts of the dataset, then the messages of the findings of severity high."""
    counts = audit_findings.summary
    yield (
        f"{counts.files:,} files, {counts.images:,} distinct images in "
        f"{counts.groups:,} groups, {counts.classes} classes; "
        f"{counts.quarantined} quarantined"
    )
    for finding in audit_findings.findings:
        if finding.severity == "high":
            yield finding.message
