"""Section "Explanations": what the model looks at."""

from skin_lesions.reporting.blocks import Block, Paragraph
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import format_estimate, percent
from skin_lesions.reporting.sections.section import Section

_CAUTION = (
    "A map shows which regions raise the score of the predicted class. It does not show why they "
    "do, and it is coarse."
)


def explanations_content(inputs: ReportInputs) -> list[Block]:
    """Return the attention to the border, and the comparison with random weights."""
    findings = inputs.model_findings
    if findings.reason is not None or findings.border is None:
        return [Paragraph(f"There are no maps: {findings.reason}.")]
    border = findings.border
    fraction = format_estimate(border.fraction, "percent")
    similarity = format_estimate(findings.similarity_to_random_weights, "decimal")
    return [
        Paragraph(
            f"In a random sample of the test images, {fraction.inline} of the Grad-CAM maps is on "
            f"the outer {percent(border.width)} of each side. A constant map would have "
            f"{percent(border.area)} there."
        ),
        Paragraph(
            "Check of the maps: their rank correlation with the maps of random weights is "
            f"{similarity.inline}. Maps that show what the model has learned differ from those."
        ),
        Paragraph(_CAUTION, "note"),
    ]


SECTION = Section(name="explanations", title="Explanations", content=explanations_content)
