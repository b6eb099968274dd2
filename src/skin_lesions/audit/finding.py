"""Audit findings: a severity, a message, the numbers and a recommendation."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the most severe first


class Finding(BaseModel):
    """A message about the data, the numbers behind it, and a recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    severity: Severity
    message: str
    count: int
    details: dict[str, int | float]
    examples: list[list[str]]
    recommendation: str


def pluralize(n: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun.

    >>> pluralize(1, "file"), pluralize(2000, "class", "classes")
    ('1 file', '2,000 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
