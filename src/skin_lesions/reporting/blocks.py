"""Blocks: the parts of a section of the HTML report, such as paragraphs and tables.

A block contains only content. ``templates/blocks.html.jinja`` has one macro for each kind of block.
All text is escaped, except ``markupsafe.Markup``; build it with ``code``, ``strong`` and ``join``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from markupsafe import Markup

from skin_lesions.audit.finding import Finding, Severity
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.reporting.formatting import (
    DASH,
    NBSP,
    FormattedEstimate,
    format_estimate,
)

Layout = Literal["narrow", "wide", "classes", "pairs", "files"]


def code(text: object) -> Markup:
    """Return untrusted text as inline code."""
    return Markup("<code>{}</code>").format(text)


def strong(text: object) -> Markup:
    """Return untrusted text in bold."""
    return Markup("<strong>{}</strong>").format(text)


def join(parts: Iterable[str], separator: str = " ") -> Markup:
    """Join texts and markup; texts are escaped and empty ones are left out."""
    return Markup(separator).join(part for part in parts if part)  # noqa: S704 (constant)


@dataclass(frozen=True)
class Heading:
    """A heading of level 3; its ``anchor`` is the target of links and unique in the report."""

    kind: ClassVar = "heading"
    text: str
    anchor: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``note`` is smaller, ``warning`` has a colored background."""

    kind: ClassVar = "paragraph"
    text: str
    style: Literal["text", "note", "warning"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list of texts."""

    kind: ClassVar = "bullets"
    items: Sequence[str]


@dataclass(frozen=True)
class Preformatted:
    """A command or another text in which spaces matter."""

    kind: ClassVar = "preformatted"
    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Heading of the column.
        numeric: Whether the column contains numbers; they are aligned to the right.
        detail: Small text below the heading.
        sortable: Whether readers can sort the table by this column.
    """

    name: str
    numeric: bool = False
    detail: str = ""
    sortable: bool = True


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: The content.
        detail: Small text below it, such as an interval or the reason of a missing value.
        mark: Small colored text beside it, such as the number of images if there are few.
        sort_value: Number by which a numeric column is sorted; None is always last.
    """

    text: str
    detail: str = ""
    mark: str = ""
    sort_value: float | None = None


def number_cell(number: int) -> Cell:
    """Return the cell of a count."""
    return Cell(text=f"{number:,}", sort_value=float(number))


def estimate_cell(estimate: Estimate, number_format: Literal["percent", "decimal"]) -> Cell:
    """Return the cell of an estimate with its interval, and its n if there are few images."""
    return formatted_cell(format_estimate(estimate, number_format), estimate.value)


def formatted_cell(estimate: FormattedEstimate, sort_value: float | None) -> Cell:
    """Return the cell of a formatted estimate; ``sort_value`` is its number."""
    few = estimate.value != DASH and 0 < estimate.n < FEW_IMAGES
    return Cell(
        text=estimate.value,
        detail=estimate.interval.replace(" ", NBSP) or estimate.reason,
        mark=f"n {estimate.n}" if few else "",
        sort_value=sort_value,
    )


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; the first cell of each row is its heading.

    Attributes:
        caption: Name of the table for screen readers.
        columns: The columns; empty for a list of names and values (layout ``pairs``).
        rows: One cell per column.
        layout: Width of the table.
    """

    kind: ClassVar = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    layout: Layout = "narrow"

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows}
        if self.columns and widths - {len(self.columns)}:
            raise ValueError(
                f"Table {self.caption!r} has {len(self.columns)} columns and rows of "
                f"{sorted(widths)} cells. Expected one cell per column."
            )


@dataclass(frozen=True)
class FigurePlace:
    """The place of a figure of the section; others follow at the end of the section."""

    kind: ClassVar = "figure"
    name: str


@dataclass(frozen=True)
class FindingBlock:
    """A finding with severity, message, recommendation and examples."""

    kind: ClassVar = "finding"
    finding: Finding


@dataclass(frozen=True)
class Collapsible:
    """Blocks that the reader can open."""

    kind: ClassVar = "collapsible"
    summary: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, kw_only=True)
class MetricCard:
    """A headline metric.

    Attributes:
        name: Name of the metric.
        value: Its value.
        interval: Its 95 % interval; empty if there is none.
        reason: Why the value or the interval is missing.
        beside: A second number for comparison.
    """

    name: str
    value: str
    interval: str
    reason: str
    beside: str


@dataclass(frozen=True)
class MetricCards:
    """The headline metrics."""

    kind: ClassVar = "cards"
    cards: Sequence[MetricCard]


@dataclass(frozen=True)
class Fact:
    """A short statement with its name; ``severity`` colors it, ``target`` is a linked anchor."""

    name: str
    text: str
    severity: Severity | None = None
    target: str = ""


@dataclass(frozen=True)
class Facts:
    """A list of facts."""

    kind: ClassVar = "facts"
    facts: Sequence[Fact]


Block = (
    Heading
    | Paragraph
    | Bullets
    | Preformatted
    | Table
    | FigurePlace
    | FindingBlock
    | Collapsible
    | MetricCards
    | Facts
)
