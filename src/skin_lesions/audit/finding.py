"""Audit findings: a severity, a message, the numbers and a recommendation."""

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the most severe first


@dataclass(frozen=True)
class Finding:
    """A message about the data, the numbers behind it, and a recommendation."""

    id: str
    severity: Severity
    message: str
    count: int
    details: dict[str, int | float]
    examples: list[list[str]]
    recommendation: str
