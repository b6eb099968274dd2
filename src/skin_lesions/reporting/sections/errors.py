"""Section "Errors": which classes the model confuses, and suspected label errors."""

from collections.abc import Iterable

from skin_lesions.core.text import pluralize
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Column,
    FigurePlace,
    Heading,
    Paragraph,
    Table,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import decimal, percent
from skin_lesions.reporting.sections.section import Section

_MAX_ISSUES = 10  # rows in the report


def errors_content(inputs: ReportInputs) -> list[Block]:
    """Return the number of errors, and the confusion matrix."""
    test = inputs.metrics.test
    wrong = test.n - sum(row.correct for row in test.per_class.values())
    text = (
        f"{wrong:,} of {pluralize(test.n, 'test image')} ({percent(wrong / test.n)}) are "
        "classified incorrectly."
    )
    return [
        Paragraph(text),
        FigurePlace("confusion_matrix"),
        Heading("Suspected label errors", "label_issues"),
        *_label_issues(inputs),
    ]


def _label_issues(inputs: ReportInputs) -> Iterable[Block]:
    issues = inputs.label_issues
    if issues.empty:
        yield Paragraph("No label of the validation and test images is suspected.")
        return
    yield Paragraph(
        f"{pluralize(len(issues), 'label')} of the validation and test images are suspected. "
        "label_issues.csv lists them, the most suspicious first. The model was not trained on "
        "these images. An error of the model looks the same as a wrong label: a person must decide."
    )
    shown = issues.head(_MAX_ISSUES)
    yield Table(
        caption="Most suspicious labels",
        columns=[
            Column("File"),
            Column("Label"),
            Column("Suggested label"),
            Column("Label probability", numeric=True),
            Column("Suggested probability", numeric=True),
        ],
        rows=[
            [
                Cell(text=str(row["file"])),
                Cell(text=str(row["label"])),
                Cell(text=str(row["suggested_label"])),
                _probability_cell(float(row["label_probability"])),
                _probability_cell(float(row["suggested_probability"])),
            ]
            for row in shown.to_dict("records")
        ],
        layout="wide",
    )


def _probability_cell(probability: float) -> Cell:
    return Cell(text=decimal(probability), sort_value=probability)


SECTION = Section(name="errors", title="Errors", content=errors_content)
