import json

import pytest

from skin_lesions.audit import enforce_fail_on, run_audit, summary_messages
from skin_lesions.audit.finding import Finding
from skin_lesions.audit.findings import AuditFindings, AuditSummary
from skin_lesions.core.errors import InputError
from support.audit import audit_context
from support.factories import class_table


def audit_findings(*severities):
    findings = [
        Finding(
            id=f"blank_{i}",
            severity=severity,
            message=f"{i} files are blank.",
            count=1,
            details={},
            examples=[],
            recommendation="Check these files.",
        )
        for i, severity in enumerate(severities)
    ]
    summary = AuditSummary(
        files=2000, images=1900, groups=7, classes=3, quarantined=1, largest_groups=[9]
    )
    return AuditFindings(
        summary=summary, findings=findings, shortcut_probes=[], image_table_version="v1"
    )


@pytest.mark.parametrize(
    ("fail_on", "stops"), [("never", False), ("high", False), ("medium", True), ("low", True)]
)
def test_finding_as_severe_as_fail_on_stops_the_run_with_a_recommendation(fail_on, stops):
    if not stops:
        enforce_fail_on(audit_findings("medium"), "v1", fail_on)
        return
    with pytest.raises(
        InputError, match=r"0 files are blank\. Recommendation: Check .*fail_on=never"
    ):
        enforce_fail_on(audit_findings("medium"), "v1", fail_on)


def test_findings_of_other_images_are_rejected():
    enforce_fail_on(audit_findings(), "v2", "never")
    with pytest.raises(InputError, match=r"version v1\. Expected version v2\. .*--pipelines audit"):
        enforce_fail_on(audit_findings(), "v2", "high")


def test_summary_has_the_counts_and_only_the_findings_of_severity_high():
    assert list(summary_messages(audit_findings("high", "medium", "high"))) == [
        "2,000 files, 1,900 distinct images in 7 groups, 3 classes; 1 quarantined",
        "0 files are blank.",
        "2 files are blank.",
    ]


def test_summary_lists_the_sizes_of_the_five_largest_groups():
    sizes = [1, 7, 2, 9, 4, 3, 5]
    lesions = [f"l{i}" for i, size in enumerate(sizes) for _ in range(size)]
    table = class_table({"a": sum(sizes)}).assign(lesion_id=lesions)
    assert run_audit(audit_context(table)).summary.largest_groups == [9, 7, 5, 4, 3]


def test_audit_findings_are_saved_and_loaded_without_their_version():
    found = run_audit(audit_context(class_table({"a": 3, "b": 3}))).with_version("v2")
    saved = found.model_dump(mode="json")
    assert list(saved) == ["summary", "findings", "shortcut_probes", "image_table_version"]
    assert list(saved["findings"][0]) == [
        "id",
        "severity",
        "message",
        "count",
        "details",
        "examples",
        "recommendation",
    ]
    loaded = AuditFindings.model_validate_json(json.dumps(saved, allow_nan=False))
    assert loaded.with_version("v2") == found


def test_findings_have_no_unknown_fields_and_no_nan():
    finding = audit_findings("low").findings[0].model_dump()
    with pytest.raises(ValueError, match="remedy"):
        Finding(**finding, remedy="none")
    with pytest.raises(ValueError, match="finite"):
        Finding(**finding | {"details": {"fraction": float("nan")}})
