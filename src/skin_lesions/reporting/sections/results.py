"""Section "Results": all metrics, malignant against benign, and the results by class."""

from collections.abc import Iterable
from dataclasses import replace

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.scorecard import registry
from skin_lesions.reporting import formatting, metric_tables
from skin_lesions.reporting.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    FigurePlace,
    Heading,
    Paragraph,
    Table,
    estimate_cell,
    formatted_cell,
    join,
    number_cell,
    strong,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.sections.section import Section

_LONGEST_REASON = 25  # characters of a reason in a cell of the table of classes
_FEW = (
    f"Numbers with n beside them are based on fewer than {formatting.FEW_IMAGES} images and are "
    "uncertain."
)


def results_content(inputs: ReportInputs) -> list[Block]:
    """Return the tables of metrics."""
    return [
        Heading("All metrics with 95 % intervals", "all_metrics"),
        *_all_metrics(inputs),
        *_malignancy(inputs),
        Heading("Results by class", "results_by_class"),
        *_by_class(inputs),
        FigurePlace("per_class_recall"),
    ]


def _all_metrics(inputs: ReportInputs) -> Iterable[Block]:
    evaluated = formatting.evaluated_classes_note(inputs.metrics.test)
    if evaluated:
        yield Paragraph(
            join([strong(f"{evaluated}."), "Means over the classes leave out the others."])
        )
    columns = [Column("Metric", sortable=False)]
    for name, subset in metric_tables.subsets(inputs.metrics).items():
        detail = f"{pluralize(subset.n, 'image')}, {pluralize(subset.groups, 'group')}"
        columns.append(Column(name, numeric=True, detail=detail, sortable=False))
    # Metrics have different units, so that a column of them cannot be sorted by number.
    rows = [
        [
            Cell(text=metric.name, detail=metric.meaning),
            *(formatted_cell(estimate, None) for estimate in estimates),
        ]
        for metric, estimates in metric_tables.overall_rows(inputs.metrics)
    ]
    yield Table(caption="All metrics", columns=columns, rows=rows, layout="wide")
    not_used = "" if formatting.leaky_weights_note(inputs.model) else formatting.TEST_NOT_USED
    yield Paragraph(join([formatting.VALIDATION_NOTE, not_used, _FEW]), "note")


def _malignancy(inputs: ReportInputs) -> Iterable[Block]:
    rows = metric_tables.malignancy_rows(inputs.metrics)
    if not rows:
        return
    malignant = inputs.metrics.test.malignant
    text = (
        f"Test images only. Malignant classes: {', '.join(malignant.classes)}. Premalignant "
        "classes count as benign."
    )
    if malignant.excluded_classes:
        text += (
            " Excluded, because it is not known whether they are malignant: "
            f"{', '.join(malignant.excluded_classes)}."
        )
    yield Heading("Malignant or benign", "malignant_or_benign")
    yield Paragraph(text)
    yield Table(
        caption="Malignant or benign",
        columns=[
            Column("Metric", sortable=False),
            Column("Test", numeric=True, sortable=False),
            Column("Images", numeric=True, sortable=False),
        ],
        rows=[
            [
                Cell(text=metric.name, detail=metric.meaning),
                formatted_cell(estimate, None),
                number_cell(estimate.n),
            ]
            for metric, estimate in rows
        ],
    )


def _by_class(inputs: ReportInputs) -> Iterable[Block]:
    yield Paragraph(f"Test images only. The 95 % interval is below each number. {_FEW}")
    yield Bullets([join([strong(m.name), m.meaning], ": ") for m in registry.CLASS_METRICS])
    counts = formatting.counts_by_class(inputs.model.classes, inputs.split_table)
    rows, notes = [], _Notes()
    for label, row in inputs.metrics.test.per_class.items():
        numbers = (counts[label]["train"], counts[label]["val"], row.support, row.correct)
        mark = "malignant" if formatting.is_malignant(label) else ""
        estimates = [
            notes.shorten(estimate_cell(row[m.key], m.format)) for m in registry.CLASS_METRICS
        ]
        rows.append([Cell(text=label, mark=mark), *map(number_cell, numbers), *estimates])
    names = [*("Train", "Val", "Test", "Correct"), *(m.name for m in registry.CLASS_METRICS)]
    yield Table(
        caption="Results by class",
        columns=[Column("Class"), *(Column(name, numeric=True) for name in names)],
        rows=rows,
        layout="classes",
    )
    if notes.texts:
        yield Paragraph(" ".join(f"Note {n}: {text}." for text, n in notes.texts.items()), "note")


class _Notes:
    """Numbered notes below a table, for reasons that are too long for a narrow cell."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def shorten(self, cell: Cell) -> Cell:
        """Return a cell whose long detail is replaced by the number of a note."""
        if len(cell.detail) <= _LONGEST_REASON:
            return cell
        number = self.texts.setdefault(cell.detail, len(self.texts) + 1)
        return replace(cell, detail=f"note {number}")


SECTION = Section(name="results", title="Results", content=results_content)
