"""Unreadable files: those in the quarantine."""

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize


def unreadable_files(context: AuditContext) -> list[Finding]:
    """List the files that could not be read, with the reason."""
    quarantine = context.quarantine
    if quarantine.empty:
        return []
    return [
        Finding(
            id="unreadable_files",
            severity="low",
            message=f"Unreadable files were left out: {pluralize(len(quarantine), 'file')}.",
            count=len(quarantine),
            details={"files": len(quarantine)},
            examples=quarantine[["file", "reason"]].to_numpy().tolist(),
            recommendation="See quarantine.csv for each file and the reason.",
        )
    ]
