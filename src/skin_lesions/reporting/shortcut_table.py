"""Table of the shortcut probes.

Each row is one probe of the audit: what a simple classifier achieves with one shortcut only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skin_lesions.reporting.formatting import DASH, FormattedEstimate, decimal, format_estimate


@dataclass(frozen=True)
class ShortcutRow:
    """One probe as text.

    ``ceiling`` is a dash if the number of values of the input sets no limit.
    """

    probe_input: str
    scope: str
    accuracy: FormattedEstimate
    chance: str
    ceiling: str
    classes: int
    excluded_classes: str


def shortcut_rows(probes: Sequence[Mapping[str, Any]]) -> list[ShortcutRow]:
    """Format ``audit_findings["shortcut_probes"]``, probes without a result included."""
    return [
        ShortcutRow(
            probe_input=f"column {p['name']}" if p["kind"] == "column" else str(p["name"]),
            scope="all images" if p["scope"] == "all" else str(p["scope"]),
            accuracy=format_estimate(p["balanced_accuracy"], decimal),
            chance=DASH if p["chance"] is None else decimal(p["chance"]),
            ceiling=DASH if p["ceiling"] is None or p["ceiling"] == 1 else decimal(p["ceiling"]),
            classes=p["classes"],
            excluded_classes=", ".join(p["excluded_classes"]),
        )
        for p in probes
    ]
