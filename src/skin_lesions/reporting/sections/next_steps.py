"""Section "Next steps": what would make the results more reliable, derived from the results."""

from collections.abc import Iterator

from skin_lesions.core.text import pluralize
from skin_lesions.metrics.intervals import FEW_IMAGES
from skin_lesions.reporting.blocks import Block, Bullets, Paragraph, join, strong
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import evaluated_classes_note
from skin_lesions.reporting.sections.findings import all_findings
from skin_lesions.reporting.sections.section import Section

_SEVERE = ("high", "medium")
_NAMED = 5  # classes that a sentence names


def next_steps_content(inputs: ReportInputs) -> list[Block]:
    """Return the recommendations of the severe findings, then those from the metrics."""
    steps = [*_from_findings(inputs), *_from_results(inputs)]
    if not steps:
        return [Paragraph("No finding and no result of this report requires a change.")]
    return [Bullets(steps)]


def _from_findings(inputs: ReportInputs) -> Iterator[str]:
    """Yield the message and the recommendation of each severe finding."""
    for finding in all_findings(inputs):
        if finding.severity in _SEVERE and finding.recommendation:
            yield join([strong(finding.message), finding.recommendation])


def _from_results(inputs: ReportInputs) -> Iterator[str]:
    metrics = inputs.metrics
    if metrics.split_policy == "original":
        yield join(
            [
                strong("Split:"),
                "Evaluate with split.policy=grouped, so that no test image has a related image in "
                "training or validation.",
            ]
        )
    absent = evaluated_classes_note(metrics.test)
    if absent:
        yield join(
            [strong("Classes without test images:"), f"Add test images; {absent} in this run."]
        )
    few = [name for name, row in metrics.test.per_class.items() if 0 < row.support < FEW_IMAGES]
    if few:
        names = ", ".join(few[:_NAMED]) + (" ..." if len(few) > _NAMED else "")
        text = (
            f"{pluralize(len(few), 'class has', 'classes have')} fewer than {FEW_IMAGES} test "
            f"images ({names}). Add test images to evaluate them with certainty."
        )
        yield join([strong("Small classes:"), text])
    calibration = metrics.test.calibration
    error = metrics.test["expected_calibration_error"].value
    if error is not None and error > calibration.error_by_chance.high:
        text = (
            "Do not use the probabilities as risks. Calibrate on images of the setting in which "
            "the model is used."
        )
        yield join([strong("Calibration:"), text])
    text = "Complete the items of the model card that the author must fill in."
    yield join([strong("Model card:"), text])


SECTION = Section(name="next_steps", title="Next steps", content=next_steps_content)
