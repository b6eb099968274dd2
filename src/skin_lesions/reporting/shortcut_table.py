"""Table of the shortcut probes.

Each row is one probe of the audit: what a simple classifier achieves with one shortcut only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skin_lesions.audit.findings import ProbeResult
from skin_lesions.reporting.formatting import DASH, FormattedEstimate, decimal, format_estimate


@dataclass(frozen=True, kw_only=True)
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


def shortcut_rows(probes: Sequence[ProbeResult]) -> list[ShortcutRow]:
    """Format the probes, those without a result included."""
    return [
        ShortcutRow(
            probe_input=input_name(probe),
            scope="all images" if probe.scope == "all" else probe.scope,
            accuracy=format_estimate(probe.balanced_accuracy, "decimal"),
            chance=DASH if probe.chance is None else decimal(probe.chance),
            ceiling=DASH if probe.ceiling in (None, 1) else decimal(probe.ceiling),
            classes=probe.classes,
            excluded_classes=", ".join(probe.excluded_classes),
        )
        for probe in probes
    ]


def input_name(probe: ProbeResult) -> str:
    """Return the displayed name of the input of a probe."""
    return f"column {probe.name}" if probe.kind == "column" else probe.name
