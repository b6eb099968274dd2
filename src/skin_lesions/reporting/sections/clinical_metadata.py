"""Section "Clinical metadata": what they add to the image, and what happens without them."""

from collections.abc import Iterable

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.comparison import MetricDifference
from skin_lesions.evaluation.fusion import FusionResults, InputDifferences
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Column,
    FigurePlace,
    Heading,
    Paragraph,
    Table,
    estimate_cell,
    number_cell,
)
from skin_lesions.reporting.comparison_summary import (
    IN_POINTS,
    format_difference,
    format_interval,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import NBSP, format_estimate, percent
from skin_lesions.reporting.sections.section import Section


def clinical_metadata_content(inputs: ReportInputs) -> list[Block]:
    """Return the comparison of image and metadata, and the effects of values of each column."""
    results = inputs.fusion
    if results.overall is None:
        return [
            Paragraph(
                "The model uses images only. To use columns of the metadata, too: "
                "kedro run --params metadata.columns=all"
            )
        ]
    return [
        Paragraph(" ".join([fusion_sentence(results), *equalized_sentences(results)])),
        *_comparison(results.overall),
        *_by_source(results),
        Heading("Missing values", "missing_metadata"),
        Paragraph(missing_sentence(results)),
        FigurePlace("missing_metadata"),
        *_changed_values(results),
    ]


def fusion_sentence(results: FusionResults) -> str:
    """State whether the metadata improve the predictions of the test images."""
    overall = results.overall
    if overall is None:
        return ""
    entry = overall.by_metadata["balanced_accuracy"]
    verdict = {
        "candidate_better": "The metadata improve the predictions.",
        "baseline_better": "The metadata make the predictions worse.",
        "no_difference_shown": "No difference shown: the 95 % interval contains zero.",
        "unknown": "The difference has no interval.",
    }[entry.verdict]
    image, both = (
        format_estimate(value, "percent").inline for value in (entry.baseline, entry.candidate)
    )
    change = ""
    if entry.difference.value is not None:
        points = format_difference("balanced_accuracy", entry.difference.value)
        interval = format_interval("balanced_accuracy", entry.difference)
        change = f" The difference is {points} percentage points ({interval})."
    trained = ""
    if results.method == "concat":
        trained = (
            "The network was trained together with the metadata. The image alone is this network "
            "without them. "
        )
    return (
        f"{trained}{pluralize(overall.known, 'test image')} of {overall.n:,} have metadata that "
        f"the model uses. Balanced accuracy: {image} from the image alone, {both} from image and "
        f"metadata.{change} {verdict} The weight of the metadata is {results.weight:.2f}, fitted "
        f"on validation images{_meaning_of_weight(results)}."
    )


def _meaning_of_weight(results: FusionResults) -> str:
    if results.method == "concat":
        return "; 1 is the weight in the training of the network"
    return "; 1 means that image and metadata are independent given the class"


def equalized_sentences(results: FusionResults) -> list[str]:
    """State which columns had missing values that predict the class."""
    if not results.predictive_missingness:
        return []
    columns = ", ".join(results.predictive_missingness)
    effect = (
        "Training values were therefore dropped at random, so that they are missing equally often "
        "in all classes."
        if results.equalized
        else "They were not made equal over the classes (metadata.equalize_missing=false)."
    )
    return [f"Missing values of {columns} predict the class. {effect}"]


def missing_sentence(results: FusionResults) -> str:
    """State the balanced accuracy with all metadata, with half of them and with none."""
    level = {entry.removed: entry.balanced_accuracy for entry in results.missing}
    return (
        f"If values of the test images are removed at random, the balanced accuracy is "
        f"{percent(level[0.0])} with all values, {percent(level[0.5])} with half of them and "
        f"{percent(level[1.0])} without any. An image without metadata gets the result of the "
        "image alone."
    )


def _comparison(overall: InputDifferences) -> Iterable[Block]:
    yield Table(
        caption="Image, metadata and both",
        columns=[
            Column("Metric", sortable=False),
            *(Column(n, numeric=True, sortable=False) for n in ("Metadata", "Image", "Both")),
            Column("Both minus image", numeric=True, sortable=False),
        ],
        rows=[
            [
                Cell(text=entry.name),
                *(
                    estimate_cell(value, "percent" if key in IN_POINTS else "decimal")
                    for value in (
                        overall.by_image[key].baseline,
                        entry.baseline,
                        entry.candidate,
                    )
                ),
                _difference_cell(key, entry),
            ]
            for key, entry in overall.by_metadata.items()
        ],
        layout="wide",
    )


def _by_source(results: FusionResults) -> Iterable[Block]:
    if not results.sources:
        return
    yield Table(
        caption="Balanced accuracy by source",
        columns=[
            Column("Source"),
            *(Column(n, numeric=True) for n in ("Images", "Metadata", "Image", "Both")),
            Column("Both minus image", numeric=True),
        ],
        rows=[
            [Cell(text=name), number_cell(found.n), *_balanced_accuracies(found)]
            for name, found in results.sources.items()
        ],
        layout="wide",
    )


def _balanced_accuracies(found: InputDifferences) -> list[Cell]:
    entry = found.by_metadata["balanced_accuracy"]
    values = (found.by_image["balanced_accuracy"].baseline, entry.baseline, entry.candidate)
    return [
        *(estimate_cell(value, "percent") for value in values),
        _difference_cell("balanced_accuracy", entry),
    ]


def _difference_cell(key: str, entry: MetricDifference) -> Cell:
    value = entry.difference.value
    if value is None:
        return Cell(text="unknown", detail=entry.difference.reason or "")
    unit = f"{NBSP}points" if key in IN_POINTS else ""
    return Cell(
        text=f"{format_difference(key, value)}{unit}",
        detail=format_interval(key, entry.difference),
        sort_value=value,
    )


def _changed_values(results: FusionResults) -> Iterable[Block]:
    yield Heading("Other values", "changed_metadata")
    yield Paragraph(
        "How often the prediction of a test image changes, if a value is replaced by a random "
        "other one or removed, and the image stays the same."
    )
    names = ("Known", "Unknown to the model", "Replaced", "Removed")
    yield Table(
        caption="Predictions that change with a value",
        columns=[Column("Column"), Column("Type"), *(Column(name, numeric=True) for name in names)],
        rows=[
            [
                Cell(text=column.name),
                Cell(text=column.kind),
                number_cell(column.known),
                number_cell(column.unseen),
                estimate_cell(column.changed, "percent"),
                estimate_cell(column.removed, "percent"),
            ]
            for column in results.columns
        ],
        layout="wide",
    )


SECTION = Section(
    name="clinical_metadata", title="Clinical metadata", content=clinical_metadata_content
)
