"""Audit findings: a severity, a message, the numbers and a recommendation."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the most severe first


class Finding(BaseModel):
    """A message about the data, the numbers behind it, and a recommendation.

    Attributes:
        id: The kind of the problem; the same in every run.
        severity: The effect on the test score; docs/data.md has the rule.
        message: One or two sentences with the most important numbers.
        count: Number of affected files, pairs, images, groups or classes; at least 1.
        details: All numbers, by name.
        examples: File or class names, with measurements; the report shows the first ones.
        recommendation: What the user can do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    severity: Severity
    message: str
    count: int
    details: dict[str, int | float]
    examples: list[list[str]]
    recommendation: str
