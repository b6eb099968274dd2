"""Section "Lesion localization": boxes of each method, and whether the classifier uses the lesion.

Localization and diagnosis are evaluated apart: no number here is part of another score.
"""

from collections.abc import Mapping

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.localization import LocalizationResults, Method, MethodScores
from skin_lesions.evaluation.localization.lesion_dependence_model import (
    AlteredScores,
    LesionDependence,
    LesionScores,
)
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting import localization_summary
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
from skin_lesions.reporting.formatting import percent
from skin_lesions.reporting.sections.section import Section

_TEXT = (
    "A localizer finds the lesion with features of this model. IoU is the overlap of its box with "
    "the annotated box. The fixed box is the mean of the annotated boxes, and does not look at the "
    "image. The lesion is often in the middle, so a useful method must be better than that."
)
_DEPENDENCE = (
    "Without the lesion, the annotated boxes are enlarged and filled from their surroundings. A "
    "model that still recognizes the classes uses something else than the lesion."
)


def localization_content(inputs: ReportInputs) -> list[Block]:
    """Return the results of each set of images of this model; nothing without localizations."""
    found, others = localization_summary.results_of_model(inputs.stored_localizations, inputs.model)
    if not found and not others:
        return []
    blocks: list[Block] = []
    if found:
        blocks.append(Paragraph(_TEXT))
    for number, results in enumerate(found):
        blocks += _results(results, f"localization_{number}")
    if not found:
        blocks.append(
            Paragraph(
                f"{pluralize(others, 'stored localization')} of other models only. To localize "
                "with this model: kedro run --pipelines localize, then kedro run --pipelines "
                "report",
                "note",
            )
        )
    return blocks


def _results(results: LocalizationResults, anchor: str) -> list[Block]:
    made = results.provenance
    blocks: list[Block] = [
        Heading(f"Images: {made.images}", anchor),
        Paragraph(localization_summary.summary_sentence(results)),
        Paragraph(localization_summary.test_sentence(results)),
        _methods_table("All test images", results.methods),
    ]
    if results.sources:
        tables: list[Block] = []
        for name, scores in results.sources.items():
            tables += [Paragraph(f"Source {name}:"), _methods_table(name, scores)]
        blocks.append(Collapsible("Results by source", tables))
    if results.lesion_dependence is not None:
        blocks += _dependence(results.lesion_dependence, f"{anchor}_lesion")
    versions = join(["Localization", code(results.version), "model", code(made.model_version)])
    return [*blocks, Paragraph(versions, "note")]


def _methods_table(name: str, methods: Mapping[Method, MethodScores]) -> Table:
    numbers = ["Images", "Mean IoU", "IoU ≥ 0.5", "IoU ≥ 0.7", "Thresholded Jaccard", "Gain"]
    has_several = any(scores.ap_50.value is not None for scores in methods.values())
    if has_several:
        numbers += ["AP50", "mAP50-95"]
    rows = []
    for method, scores in methods.items():
        cells = [
            Cell(text=localization_summary.METHOD_NAMES[method]),
            number_cell(scores.images),
            estimate_cell(scores.iou, "decimal"),
            estimate_cell(scores.at_50, "percent"),
            estimate_cell(scores.at_70, "percent"),
            estimate_cell(scores.thresholded_jaccard, "decimal"),
            estimate_cell(scores.gain, "decimal"),
        ]
        if has_several:
            cells += [
                estimate_cell(scores.ap_50, "decimal"),
                estimate_cell(scores.map_50_95, "decimal"),
            ]
        rows.append(cells)
    return Table(
        caption=f"{name}: boxes of each method. Gain: mean IoU minus that of the fixed box",
        columns=[Column("Method"), *(Column(number, numeric=True) for number in numbers)],
        rows=rows,
        layout="wide",
    )


def _dependence(found: LesionDependence, anchor: str) -> list[Block]:
    blocks: list[Block] = [Heading("Does the classifier use the lesion?", anchor)]
    if found.reason is not None:
        blocks.append(Paragraph(f"No finding about the scores is possible: {found.reason}."))
    if found.scores is not None:
        chance = f"The balanced accuracy by chance is {percent(found.scores.chance)}."
        blocks += [Paragraph(f"{_DEPENDENCE} {chance}"), _scores_table(found.scores)]
    attention = localization_summary.attention_sentence(found)
    if attention:
        blocks.append(Paragraph(attention))
    if found.attention_reason is not None:
        blocks.append(Paragraph(f"No finding about the maps: {found.attention_reason}."))
    return blocks


def _scores_table(scores: LesionScores) -> Table:
    def row(name: str, balanced: Estimate, accuracy: Estimate, lost: Estimate | None) -> list[Cell]:
        return [
            Cell(text=name),
            estimate_cell(balanced, "percent"),
            estimate_cell(accuracy, "percent"),
            Cell(text="–") if lost is None else estimate_cell(lost, "percent"),
        ]

    def altered(name: str, of: AlteredScores) -> list[Cell]:
        return row(name, of.balanced_accuracy, of.accuracy, of.balanced_accuracy_lost)

    names = ("Balanced accuracy", "Accuracy", "Balanced accuracy lost")
    original = scores.original
    return Table(
        caption="Scores with and without the lesion",
        columns=[Column("Images"), *(Column(name, numeric=True) for name in names)],
        rows=[
            row("Original", original.balanced_accuracy, original.accuracy, None),
            altered("Without the lesion", scores.without_lesion),
            altered("Only the lesion", scores.only_lesion),
        ],
    )


SECTION = Section(name="localization", title="Lesion localization", content=localization_content)
