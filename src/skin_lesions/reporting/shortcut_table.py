"""The probes of an audit as rows of a table: what a model could cheat with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skin_lesions.reporting.formatting import DASH, FormattedEstimate, decimal, format_estimate


@dataclass(frozen=True)
class ShortcutRow:
    """One probe in words; ``best`` is a dash where the number of values sets no limit."""

    what: str
    scope: str
    accuracy: FormattedEstimate
    chance: str
    ceiling: str
    classes: int
    excluded_classes: str


def shortcut_rows(probes: Sequence[Mapping[str, Any]]) -> list[ShortcutRow]:
    """Write each probe of ``audit_findings["shortcut_probes"]``, also those that could not be done."""
    return [
        ShortcutRow(
            what=f"column {p['name']}" if p["kind"] == "column" else str(p["name"]),
            scope="all images" if p["scope"] == "all" else str(p["scope"]),
            accuracy=format_estimate(p["balanced_accuracy"], decimal),
            chance=DASH if p["chance"] is None else decimal(p["chance"]),
            ceiling=DASH if p["ceiling"] is None or p["ceiling"] == 1 else decimal(p["ceiling"]),
            classes=p["classes"],
            excluded_classes=", ".join(p["excluded_classes"]),
        )
        for p in probes
    ]
