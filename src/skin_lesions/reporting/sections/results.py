"""Section "Results": all metrics, malignant against benign, results by class, and robustness."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.malignancy.model import OperatingPoint
from skin_lesions.evaluation.scorecard import registry
from skin_lesions.metrics.intervals import FEW_IMAGES
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
from skin_lesions.reporting.formatting import format_estimate
from skin_lesions.reporting.sections.section import Section

_LONGEST_REASON = 25  # characters of a reason in a cell of the table of classes
_FEW = f"Numbers with n beside them are based on fewer than {FEW_IMAGES} images and are uncertain."


def results_content(inputs: ReportInputs) -> list[Block]:
    """Return the tables of metrics."""
    return [
        Heading("All metrics with 95 % intervals", "all_metrics"),
        *_all_metrics(inputs),
        *_malignancy(inputs),
        Heading("Results by class", "results_by_class"),
        *_by_class(inputs),
        FigurePlace("per_class_recall"),
        *_robustness(inputs),
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
    results = inputs.malignancy
    if not results.malignant_classes:
        return
    text = f"Test images only. Malignant classes: {', '.join(results.malignant_classes)}."
    if results.excluded_classes:
        text += (
            " Excluded, because it is not known whether they are malignant: "
            f"{', '.join(results.excluded_classes)}."
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
            for metric, estimate in metric_tables.malignancy_rows(inputs.metrics, results)
        ],
    )
    yield from _operating_points(results)
    yield FigurePlace("decision_curve")


def _operating_points(results: MalignancyResults) -> Iterable[Block]:
    """Yield the results at the thresholds of the model file."""
    if results.no_operating_points is not None:
        yield Paragraph(f"No results at thresholds: {results.no_operating_points}.")
        return
    points = results.test.operating_points
    yield Paragraph(
        "Each threshold of the malignancy score was chosen on validation images, as the best one "
        "for the given sensitivity or specificity there."
    )
    yield Table(
        caption="Results at thresholds",
        columns=[
            Column("Chosen for"),
            *(Column(name, numeric=True) for name in ("Threshold", "Sensitivity", "Specificity")),
        ],
        rows=[
            [
                Cell(text=_chosen_for(point)),
                Cell(text=formatting.decimal(point.threshold), sort_value=point.threshold),
                estimate_cell(point.sensitivity, "percent"),
                estimate_cell(point.specificity, "percent"),
            ]
            for point in points
        ],
    )
    yield Paragraph(
        "The positive and negative predictive value (PPV, NPV) depend on the prevalence, which is "
        "the fraction of malignant lesions among all lesions."
    )
    prevalences = [values.prevalence for values in points[0].predictive_values]
    names = [f"{value} at {prevalence:.3g} %" for value, prevalence in _columns(prevalences)]
    yield Table(
        caption="Predictive values at stated prevalences",
        columns=[Column("Chosen for"), *(Column(name, numeric=True) for name in names)],
        rows=[
            [
                Cell(text=_chosen_for(point)),
                *(estimate_cell(values.positive, "percent") for values in point.predictive_values),
                *(estimate_cell(values.negative, "percent") for values in point.predictive_values),
            ]
            for point in points
        ],
        layout="wide",
    )


def _chosen_for(point: OperatingPoint) -> str:
    return f"{point.criterion} of {100 * point.target:g} %"


def _columns(prevalences: Sequence[float]) -> list[tuple[str, float]]:
    """Return predictive value and prevalence, in percent, of each column."""
    return [(value, 100 * prevalence) for value in ("PPV", "NPV") for prevalence in prevalences]


def _robustness(inputs: ReportInputs) -> Iterable[Block]:
    results = inputs.robustness
    yield Heading("Robustness", "robustness")
    if not results.measured:
        yield Paragraph(
            "Not measured. To predict corrupted test images, too: "
            "kedro run --pipelines evaluate,report --params evaluate.robustness.enabled=true"
        )
        return
    worst = results.worst()
    if worst is not None:
        corruption, score = worst
        lost = format_estimate(score.balanced_accuracy_lost, "percent")
        yield Paragraph(
            f"The largest loss of balanced accuracy is {lost.inline}, by {corruption.title} at "
            f"{score.setting:g} {corruption.unit}."
        )
    names = ("Setting", "Accuracy lost", "Balanced accuracy lost")
    yield Table(
        caption="Accuracy lost on corrupted test images",
        columns=[Column("Corruption"), *(Column(name, numeric=True) for name in names)],
        rows=[
            [
                Cell(text=corruption.title, detail=corruption.unit),
                Cell(text=f"{score.setting:g}", sort_value=score.setting),
                estimate_cell(score.accuracy_lost, "percent"),
                estimate_cell(score.balanced_accuracy_lost, "percent"),
            ]
            for corruption in results.corruptions
            for score in corruption.scores
        ],
        layout="wide",
    )
    yield FigurePlace("robustness_curves")


def _by_class(inputs: ReportInputs) -> Iterable[Block]:
    yield Paragraph(f"Test images only. The 95 % interval is below each number. {_FEW}")
    yield Bullets([join([strong(m.name), m.meaning], ": ") for m in registry.CLASS_METRICS])
    counts = formatting.counts_by_class(inputs.model.classes, inputs.split_table)
    rows, notes = [], _Notes()
    for label, row in inputs.metrics.test.per_class.items():
        numbers = (counts[label]["train"], counts[label]["val"], row.support, row.correct)
        mark = "malignant" if label in inputs.malignancy.malignant_classes else ""
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
