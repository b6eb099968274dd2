"""The probes of an audit as rows of a table: what a model could cheat with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skin_lesions.reporting.formatting import DASH, Written, decimal, written


@dataclass(frozen=True)
class ShortcutRow:
    """One probe in words; ``best`` is a dash where the number of values sets no limit."""

    what: str
    scope: str
    accuracy: Written
    chance: str
    best: str
    classes: int
    left_out: str


def shortcut_rows(probes: Sequence[Mapping[str, Any]]) -> list[ShortcutRow]:
    """Write each probe of ``audit_findings["shortcuts"]``, also those that could not be done."""
    return [
        ShortcutRow(
            what=f"column {p['name']}" if p["kind"] == "column" else str(p["name"]),
            scope="all images" if p["scope"] == "all" else str(p["scope"]),
            accuracy=written(p["balanced_accuracy"], decimal),
            chance=DASH if p["chance"] is None else decimal(p["chance"]),
            best=DASH if p["best"] is None or p["best"] == 1 else decimal(p["best"]),
            classes=p["classes"],
            left_out=", ".join(p["left_out"]),
        )
        for p in probes
    ]
