"""Section "Errors": which classes the model confuses."""

from skin_lesions.core.text import pluralize
from skin_lesions.reporting.blocks import Block, FigurePlace, Paragraph
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import percent
from skin_lesions.reporting.sections.section import Section


def errors_content(inputs: ReportInputs) -> list[Block]:
    """Return the number of errors, and the confusion matrix."""
    test = inputs.metrics.test
    wrong = test.n - sum(row.correct for row in test.per_class.values())
    text = (
        f"{wrong:,} of {pluralize(test.n, 'test image')} ({percent(wrong / test.n)}) are "
        "classified incorrectly."
    )
    return [Paragraph(text), FigurePlace("confusion_matrix")]


SECTION = Section(name="errors", title="Errors", content=errors_content)
