"""Section "Uncertainty": calibration, prediction sets, selective prediction, unknown images."""

from collections.abc import Iterable

from skin_lesions.evaluation.uncertainty.model import SetMetrics
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
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import (
    class_prior_note,
    decimal,
    format_estimate,
    format_inline,
    percent,
    whole_percent,
)
from skin_lesions.reporting.sections.section import Section

_LIMIT = (
    "The sets are made for images like the validation images. Images of one lesion resemble each "
    "other, which makes the coverage less certain."
)


def uncertainty_content(inputs: ReportInputs) -> list[Block]:
    """Return calibration, prediction sets, and the effects of referral and unknown score."""
    return [
        Heading("Calibration", "calibration"),
        *_calibration(inputs),
        FigurePlace("calibration_curve"),
        Heading("Conformal prediction sets", "conformal_sets"),
        *_conformal_sets(inputs),
        Heading("Selective prediction", "selective_prediction"),
        Paragraph(selective_sentence(inputs)),
        FigurePlace("risk_coverage"),
        Heading("Unknown images", "unknown_images"),
        Paragraph(unknown_sentence(inputs)),
    ]


def _calibration(inputs: ReportInputs) -> Iterable[Block]:
    fit = inputs.model.postprocessing.calibration
    yield Paragraph(calibration_sentence(inputs))
    yield Paragraph(
        f"The probabilities are calibrated on {fit.n:,} validation images: temperature "
        f"{decimal(fit.temperature)}, log loss {decimal(fit.nll_before)} before and "
        f"{decimal(fit.nll_after)} after. {class_prior_note(inputs.model)}"
    )
    test = inputs.metrics.test
    before = test.calibration.before_scaling
    if before is not None:
        by_chance = test.calibration.classwise_error_by_chance
        names = ("expected_calibration_error", "classwise_calibration_error")
        after = [format_estimate(test[name], "decimal").value for name in names]
        earlier = [format_estimate(getattr(before, name), "decimal").value for name in names]
        yield Paragraph(
            f"On the test images, the calibration error is {earlier[0]} before temperature scaling "
            f"and {after[0]} after it. The class-wise calibration error is {earlier[1]} before and "
            f"{after[1]} after it. A calibrated model would show {decimal(by_chance.median)} "
            f"({decimal(by_chance.low)} to {decimal(by_chance.high)}) by chance."
        )


def calibration_sentence(inputs: ReportInputs) -> str:
    """Compare the calibration error of the test images with that of a calibrated model."""
    test = inputs.metrics.test
    error, by_chance = test["expected_calibration_error"], test.calibration.error_by_chance
    if error.value is None:
        return f"The calibration error cannot be computed: {error.reason}."
    outside = error.value > by_chance.high
    verdict = (
        "It is larger than chance alone explains."
        if outside
        else "Chance alone explains such an error."
    )
    difference = format_estimate(test.calibration.overconfidence, "decimal")
    return (
        f"The calibration error of the test images is {decimal(error.value)}. A calibrated model "
        f"would show {decimal(by_chance.median)} ({decimal(by_chance.low)} to "
        f"{decimal(by_chance.high)}) by chance. {verdict} Mean confidence minus accuracy: "
        f"{difference.inline}; a negative number means underconfident."
    )


def conformal_sentence(inputs: ReportInputs) -> str:
    """State the coverage and the size of the prediction sets of the test images."""
    conformal = inputs.uncertainty.test.conformal
    overall = conformal.overall
    return (
        f"A prediction set is made to contain the true class for "
        f"{whole_percent(conformal.target_coverage)} of the images. On the test images, the "
        f"coverage is {format_estimate(overall.coverage, 'percent').inline}. A set has "
        f"{format_estimate(overall.mean_size, 'decimal').inline} classes on average. "
        f"{format_estimate(overall.single, 'percent').value} of the sets have one class, and "
        f"{format_estimate(overall.empty, 'percent').value} have none."
    )


def _conformal_sets(inputs: ReportInputs) -> Iterable[Block]:
    yield Paragraph(conformal_sentence(inputs))
    results = inputs.uncertainty
    thresholds = dict(zip(inputs.model.classes, results.thresholds.classes, strict=True))
    own_threshold = {
        label: threshold.calibrated_on == "class" for label, threshold in thresholds.items()
    }
    names = ("Images", "Coverage", "Mean size", "One class")
    yield Table(
        caption="Conformal prediction sets by class",
        columns=[Column("Class"), *(Column(name, numeric=True) for name in names)],
        rows=[
            _set_row(label, sets, has_own_threshold=own_threshold[label])
            for label, sets in results.test.conformal.per_class.items()
        ],
    )
    yield Paragraph(_LIMIT, "note")


def _set_row(label: str, sets: SetMetrics, *, has_own_threshold: bool) -> list[Cell]:
    shared = "" if has_own_threshold else "shared threshold: too few validation images"
    return [
        Cell(text=label, detail=shared),
        number_cell(sets.n),
        estimate_cell(sets.coverage, "percent"),
        estimate_cell(sets.mean_size, "decimal"),
        estimate_cell(sets.single, "percent"),
    ]


def selective_sentence(inputs: ReportInputs) -> str:
    """State what the referral threshold does to the test images, and the AURC."""
    selective = inputs.uncertainty.test.selective
    referral = selective.referral
    if referral.min_confidence is None:
        effect = f"There is no referral threshold: {referral.reason}."
    else:
        effect = (
            f"The referral threshold is a confidence of {decimal(referral.min_confidence)}. It was "
            f"chosen on validation images for an accuracy of {percent(referral.target_accuracy)}. "
            f"{format_estimate(referral.referred, 'percent').inline} of the test images are below "
            "it. The others have an accuracy of "
            f"{format_estimate(referral.accuracy_answered, 'percent').inline}."
        )
    return (
        f"{effect} The area under the risk-coverage curve (AURC) is "
        f"{format_inline(selective.aurc)}. A perfect order of the confidences would give "
        f"{decimal(selective.lowest_aurc)}, and a confidence without information "
        f"{format_inline(selective.risk)}."
    )


def unknown_sentence(inputs: ReportInputs) -> str:
    """State how many images the unknown score flags, and what it cannot do."""
    results = inputs.unknown
    return (
        f"The unknown score ({results.method.replace('_', ' ')}) compares an image with "
        f"{results.training_images:,} training images. Its threshold flags "
        f"{format_estimate(results.validation, 'percent').value} of the validation images and "
        f"{format_estimate(results.test, 'percent').inline} of the test images. The accuracy is "
        f"{format_estimate(results.accuracy_flagged, 'percent').inline} for flagged images, and "
        f"{format_estimate(results.accuracy_not_flagged, 'percent').inline} for the others. The "
        "score finds photographs of other objects, but not reliably unknown diseases."
    )


SECTION = Section(name="uncertainty", title="Uncertainty", content=uncertainty_content)
