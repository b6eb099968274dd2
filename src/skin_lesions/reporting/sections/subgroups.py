"""Section "Subgroups": slices of the test images, and leaked against clean ones."""

from collections.abc import Iterable

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.scorecard import registry
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.evaluation.slices.model import SliceColumn, SliceTables
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Paragraph,
    Table,
    estimate_cell,
    number_cell,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import format_estimate, percent
from skin_lesions.reporting.metric_tables import subsets
from skin_lesions.reporting.sections.section import Section

_TEXT = (
    "A test image is leaked if the original training or validation split contains a duplicate or "
    "another image of its group. The model was tested on such images after it had seen them or "
    "related ones."
)


def subgroups_content(inputs: ReportInputs) -> list[Block]:
    """Return the slices of each column, then leaked and clean images of the original split."""
    return [*slice_blocks(inputs.slices), *_leaked_and_clean(inputs)]


def slice_blocks(results: SliceResults | SliceTables, prefix: str = "") -> Iterable[Block]:
    """Yield a table for each column; ``prefix`` makes the anchors unique in the report."""
    if results.columns:
        yield Paragraph(
            f"Slices of fewer than {results.min_images:,} images have no numbers. Balanced "
            "accuracy is a mean over the classes of a slice, so slices of different classes are "
            "not comparable. The gap therefore uses common classes only."
        )
    for column in results.columns:
        name = column.column.replace("_", " ")
        yield Heading(f"By {name}", f"{prefix}by_{column.column}")
        yield Paragraph(gap_sentence(column, results.comparisons))
        yield _slice_table(column)
    if results.left_out:
        columns = "; ".join(f"{left.column} ({left.reason})" for left in results.left_out)
        yield Paragraph(f"Columns without slices: {columns}.", "note")


def gap_sentence(column: SliceColumn, comparisons: int) -> str:
    """State the largest gap between two slices of a column."""
    if not column.gaps:
        return f"No gap can be computed: {column.no_gap}."
    gap = column.gaps[0]
    difference = format_estimate(gap.difference, "percent")
    classes = pluralize(len(gap.classes), "common class", "common classes")
    text = (
        f"Largest gap: the balanced accuracy is {percent(gap.of_higher)} for {gap.higher} and "
        f"{percent(gap.of_lower)} for {gap.lower}, over {classes}. "
        f"The difference is {difference.inline}."
    )
    if gap.simultaneous_low is None or gap.simultaneous_high is None:
        return text
    verdict = "A gap is shown." if gap.is_shown else "No gap is shown."
    return (
        f"{text} Allowing for {pluralize(comparisons, 'comparison')}, the interval is "
        f"{percent(gap.simultaneous_low)} to {percent(gap.simultaneous_high)}. {verdict}"
    )


def _slice_table(column: SliceColumn) -> Table:
    names = (
        "Images",
        "Groups",
        "Classes",
        "Accuracy",
        "Balanced accuracy",
        "AUROC, malignant",
    )
    return Table(
        caption=f"Images by {column.column}",
        columns=[Column("Slice"), *(Column(name, numeric=True) for name in names)],
        rows=[
            [
                Cell(text=row.value),
                number_cell(row.n),
                number_cell(row.groups),
                number_cell(row.classes_evaluated),
                estimate_cell(row.accuracy, "percent"),
                estimate_cell(row.balanced_accuracy, "percent"),
                estimate_cell(row.malignant_auroc, "decimal"),
            ]
            for row in column.slices
        ],
        layout="wide",
    )


def _leaked_and_clean(inputs: ReportInputs) -> list[Block]:
    metrics = inputs.metrics
    if metrics.test_clean is None and metrics.test_leaked is None:
        return []
    shown = {name: s for name, s in subsets(metrics).items() if s is not metrics.validation}
    columns = [Column("Metric", sortable=False)]
    for name, subset in shown.items():
        detail = pluralize(subset.n, "image")
        columns.append(Column(name, numeric=True, detail=detail, sortable=False))
    rows = [
        [
            Cell(text=metric.name),
            *(estimate_cell(subset[metric.key], metric.format) for subset in shown.values()),
        ]
        for metric in registry.METRICS
        if metric.headline
    ]
    return [
        Heading("Leaked and clean test images", "leaked_images"),
        Paragraph(_TEXT),
        Table(caption="Leaked and clean test images", columns=columns, rows=rows, layout="wide"),
    ]


SECTION = Section(name="subgroups", title="Subgroups", content=subgroups_content)
