"""Content of ``audit_findings.json``; ``AuditFindings.model_json_schema()`` documents it."""

from pydantic import BaseModel, ConfigDict

from skin_lesions.audit.finding import Finding
from skin_lesions.core.versions import VersionedModel
from skin_lesions.metrics.intervals import Estimate


class AuditSummary(BaseModel):
    """Counts of the dataset; ``largest_groups`` has the numbers of files of up to five groups."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: int
    images: int
    groups: int
    classes: int
    quarantined: int
    largest_groups: list[int]


class ProbeResult(BaseModel):
    """The result of one shortcut probe; see ``audit.shortcuts.probes.Probe``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    columns: list[str]
    kind: str
    scope: str
    balanced_accuracy: Estimate
    chance: float | None
    ceiling: float | None
    classes: int
    excluded_classes: list[str]
    parts: dict[str, float]


class AuditFindings(VersionedModel):
    """Summary, findings (the most severe first) and shortcut probes of one image table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: AuditSummary
    findings: list[Finding]
    shortcut_probes: list[ProbeResult]
    image_table_version: str
