"""Section "Uncertainty": calibration of the probabilities."""

from skin_lesions.reporting.blocks import Block, FigurePlace, Heading, Paragraph
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import class_prior_note, decimal, format_estimate
from skin_lesions.reporting.sections.section import Section


def uncertainty_content(inputs: ReportInputs) -> list[Block]:
    """Return the calibration error, its size by chance, and how the model was calibrated."""
    fit = inputs.model.postprocessing.calibration
    temperature = (
        f"The probabilities are calibrated on {fit.n:,} validation images: temperature "
        f"{decimal(fit.temperature)}, log loss {decimal(fit.nll_before)} before and "
        f"{decimal(fit.nll_after)} after. {class_prior_note(inputs.model)}"
    )
    blocks: list[Block] = [Heading("Calibration", "calibration")]
    blocks += [Paragraph(calibration_sentence(inputs)), Paragraph(temperature)]
    return [*blocks, FigurePlace("calibration_curve")]


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


SECTION = Section(name="uncertainty", title="Uncertainty", content=uncertainty_content)
