"""What a section of the report is: its heading, and how its content follows from the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skin_lesions.reporting.blocks import Block
from skin_lesions.reporting.figures.spec import ReportInputs


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section.

    The figures with this section in their ``FigureSpec`` are displayed at the end of the section,
    unless the content has a ``FigurePlace`` for them. A section without content and figures is
    left out.

    Attributes:
        name: Name of the module, and the anchor of the heading.
        title: Heading; the standard term.
        content: Function that returns the blocks of the section.
    """

    name: str
    title: str
    content: Callable[[ReportInputs], Sequence[Block]]
