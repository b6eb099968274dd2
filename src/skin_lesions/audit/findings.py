"""Content of ``audit_findings.json``; ``AuditFindings.model_json_schema()`` documents it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from skin_lesions.audit.finding import Finding
from skin_lesions.core.versions import UNSAVED
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


class AuditFindings(BaseModel):
    """Summary, findings (the most severe first) and shortcut probes of one image table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: AuditSummary
    findings: list[Finding]
    shortcut_probes: list[ProbeResult]
    image_table_version: str
    version: SkipJsonSchema[str] = Field(default=UNSAVED, exclude=True)

    def with_version(self, version: str) -> Self:
        """Return the same findings with this version."""
        return self.model_copy(update={"version": version})
