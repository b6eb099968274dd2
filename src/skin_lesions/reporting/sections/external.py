"""Section "External validation": results on images from elsewhere, beside the internal test."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.external import ComparedMetrics, ExternalResults
from skin_lesions.evaluation.malignancy.model import OperatingPoint
from skin_lesions.evaluation.scorecard import registry
from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.reporting import external_summary
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Collapsible,
    Column,
    Heading,
    Paragraph,
    Table,
    code,
    estimate_cell,
    join,
    number_cell,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.sections.section import Section
from skin_lesions.reporting.sections.subgroups import slice_blocks

_TEXT = (
    "Images from elsewhere, on which the finished model was evaluated. Nothing was fitted on them. "
    "Each set is compared with the internal test images of the same classes. Both are different "
    "images, so that the intervals of the differences are unpaired. A difference can be due to the "
    "images, the labels or the mix of classes and patients, not only to the model."
)
_PRESENT = (
    "Over the classes present, probabilities are renormalized and the prediction is one of these "
    "classes. Over all outputs, the model can predict classes that the set does not have."
)
_NO_INTERNAL = unavailable("no internal test images")
T = TypeVar("T")
NumberFormat = Literal["percent", "decimal"]


def external_content(inputs: ReportInputs) -> list[Block]:
    """Return a table of all sets, then the details of each; nothing without external sets."""
    found, others = external_summary.results_of_model(inputs.stored_external_metrics, inputs.model)
    if not found and not others:
        return []
    blocks: list[Block] = [Paragraph(_TEXT)]
    if found:
        blocks.append(_overview(found))
    for number, results in enumerate(found):
        blocks += _details(results, f"external_{number}")
    if others:
        blocks.append(
            Paragraph(
                f"Sets with results of other models only: {', '.join(others)}. To evaluate this "
                "model on them: kedro run --pipelines external,report",
                "note",
            )
        )
    return blocks


def _overview(found: Sequence[ExternalResults]) -> Table:
    names = ("Images", "Classes", "Left out", "Balanced accuracy", "Internal", "Difference")
    rows = []
    for results in found:
        metrics = external_summary.deciding_metrics(results)
        key = "balanced_accuracy"
        inside = metrics.internal[key] if metrics.internal is not None else _NO_INTERNAL
        rows.append(
            [
                Cell(text=results.name),
                number_cell(results.counts.evaluated),
                Cell(
                    text=f"{len(results.classes_present)} of {len(results.classes)}",
                    sort_value=float(len(results.classes_present)),
                ),
                Cell(
                    text=f"{results.counts.overlapping:,}",
                    detail="overlap with training",
                    sort_value=float(results.counts.overlapping),
                ),
                estimate_cell(metrics.external[key], "percent"),
                estimate_cell(inside, "percent"),
                estimate_cell(metrics.differences.get(key, _NO_INTERNAL), "percent"),
            ]
        )
    return Table(
        caption="External sets, over the classes present",
        columns=[Column("Set"), *(Column(name, numeric=True) for name in names)],
        rows=rows,
        layout="wide",
    )


def _details(results: ExternalResults, anchor: str) -> list[Block]:
    text = external_summary.summary_sentences(results)
    blocks: list[Block] = [
        Heading(f"External set {results.name}", anchor),
        *(Paragraph(sentence) for sentence in text),
    ]
    if results.internal is not None and results.internal.common_images:
        common = pluralize(results.internal.common_images, "external image")
        blocks.append(
            Paragraph(
                f"{common} are also internal test images, so that the two sets are not "
                "independent.",
                "warning",
            )
        )
    with_overlap = external_summary.with_overlap_sentence(results)
    if with_overlap:
        blocks.append(Paragraph(with_overlap))
    if results.present_classes is not None:
        blocks += [Paragraph(_PRESENT), _metric_table(results.present_classes, "Classes present")]
    blocks.append(_metric_table(results.all_outputs, "All outputs"))
    blocks.append(Paragraph(external_summary.temperature_sentence(results)))
    blocks += _malignancy(results)
    blocks.append(_rates(results))
    blocks.append(Collapsible("Labels, files and subgroups", list(_more(results, anchor))))
    return blocks


def _of(results: T | None, estimate: Callable[[T], Estimate]) -> Estimate | None:
    """Return an estimate of some results, or None without results."""
    return None if results is None else estimate(results)


def _columns(first: str) -> list[Column]:
    names = ("External", "Internal", "Difference")
    # Metrics have different units, so that a column of them cannot be sorted by number.
    return [Column(first), *(Column(name, numeric=True, sortable=False) for name in names)]


def _row(
    name: str,
    meaning: str,
    estimates: tuple[Estimate, Estimate | None, Estimate | None],
    number_format: NumberFormat,
) -> list[Cell]:
    cells = [estimate_cell(estimate or _NO_INTERNAL, number_format) for estimate in estimates]
    return [Cell(text=name, detail=meaning), *cells]


def _metric_table(metrics: ComparedMetrics, caption: str) -> Table:
    rows = []
    for metric in registry.METRICS:
        internal = None if metrics.internal is None else metrics.internal[metric.key]
        difference = metrics.differences.get(metric.key)
        if internal is not None and difference is None:
            difference = unavailable("no interval")
        estimates = (metrics.external[metric.key], internal, difference)
        rows.append(_row(metric.name, "", estimates, metric.format))
    return Table(caption=f"{caption}: external and internal", columns=_columns(caption), rows=rows)


def _malignancy(results: ExternalResults) -> Iterable[Block]:
    found = results.malignancy
    if not found.malignant_classes:
        return
    external, internal = found.external, found.internal
    rows = [
        _row(
            "AUROC, malignant",
            f"{external.malignant:,} malignant and {external.benign:,} benign external images",
            (external.auroc, _of(internal, lambda r: r.auroc), found.auroc_difference),
            "decimal",
        )
    ]
    for number, point in enumerate(external.operating_points):
        inside = None if internal is None else internal.operating_points[number]
        difference = None if internal is None else found.point_differences[number]
        sensitivities = (
            point.sensitivity,
            _of(inside, lambda r: r.sensitivity),
            _of(difference, lambda r: r.sensitivity),
        )
        specificities = (
            point.specificity,
            _of(inside, lambda r: r.specificity),
            _of(difference, lambda r: r.specificity),
        )
        chosen = f"at the threshold for a {_chosen_for(point)}"
        rows.append(_row("Sensitivity", chosen, sensitivities, "percent"))
        rows.append(_row("Specificity", chosen, specificities, "percent"))
    yield Table(caption="Malignant or benign", columns=_columns("Malignant or benign"), rows=rows)
    if found.no_operating_points is not None:
        yield Paragraph(f"No results at thresholds: {found.no_operating_points}.")
        return
    yield _predictive_values(external.operating_points)


def _chosen_for(point: OperatingPoint) -> str:
    return f"{point.criterion} of {100 * point.target:g} %"


def _predictive_values(points: Sequence[OperatingPoint]) -> Table:
    prevalences = [values.prevalence for values in points[0].predictive_values]
    names = [f"{name} at {100 * p:.3g} %" for name in ("PPV", "NPV") for p in prevalences]
    return Table(
        caption="Predictive values of the external images at stated prevalences",
        columns=[Column("Threshold for"), *(Column(name, numeric=True) for name in names)],
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


def _rates(results: ExternalResults) -> Table:
    """Return the table of referral, prediction sets and unknown images."""
    found, unknown = results.uncertainty, results.unknown
    inside = found.internal
    referral = found.external.selective.referral
    inside_referral = None if inside is None else inside.selective.referral
    coverage = found.external.conformal.overall.coverage
    rows = [
        _row(
            "Referred images",
            "confidence below the threshold of the model",
            (
                referral.referred,
                _of(inside_referral, lambda r: r.referred),
                found.referred_difference,
            ),
            "percent",
        ),
        _row(
            "Coverage of prediction sets",
            f"chosen: {100 * found.external.conformal.target_coverage:g} %",
            (
                coverage,
                _of(inside, lambda r: r.conformal.overall.coverage),
                found.coverage_difference,
            ),
            "percent",
        ),
        _row(
            "Flagged as unknown",
            "unknown score above the threshold of the model",
            (unknown.external, unknown.internal, unknown.difference),
            "percent",
        ),
    ]
    return Table(caption="Referral and unknown images", columns=_columns("Rate"), rows=rows)


def _more(results: ExternalResults, anchor: str) -> Iterable[Block]:
    counts = results.counts
    yield Paragraph(
        f"{pluralize(counts.files, 'file')}: {counts.quarantined:,} unreadable or without a label, "
        f"{counts.ignored:,} with an ignored label, {counts.conflicting:,} with conflicting "
        f"labels, {counts.repeated:,} repeated, {counts.overlapping:,} overlapping with the "
        f"training, {counts.evaluated:,} evaluated."
    )
    yield Table(
        caption=f"Labels of {results.name}",
        columns=[Column("Label"), Column("Class"), Column("Files", numeric=True)],
        rows=[
            [
                Cell(text=entry.label),
                Cell(text="ignored" if entry.class_name is None else entry.class_name),
                number_cell(entry.files),
            ]
            for entry in results.labels
        ],
    )
    yield from slice_blocks(results.slices, f"{anchor}_")
    made = results.provenance
    yield Paragraph(
        join(
            [
                "Model",
                code(made.model_version),
                "predictions",
                code(made.external_predictions_version),
            ]
        ),
        "note",
    )


SECTION = Section(name="external", title="External validation", content=external_content)
