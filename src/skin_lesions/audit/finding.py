"""One thing that was found in a set of images: how grave it is, in words and in numbers."""

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the gravest first


@dataclass(frozen=True)
class Finding:
    """One plain sentence about the data, the numbers behind it, and what to do."""

    id: str
    severity: Severity
    message: str
    count: int
    details: dict[str, int | float]
    examples: list[list[str]]
    recommendation: str


def pluralize(n: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    >>> counted(1, "file"), counted(2000, "class", "classes")
    ('1 file', '2,000 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
