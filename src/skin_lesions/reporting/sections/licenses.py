"""Section "Licenses": license terms of the images and of the initial weights."""

from skin_lesions.reporting.blocks import Block, Bullets, Heading
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import data_license_notes, weights_license_note
from skin_lesions.reporting.sections.section import Section


def licenses_content(inputs: ReportInputs) -> list[Block]:
    """Return the known license terms; unknown ones are stated as unknown."""
    return [
        Heading("Images", "image_licenses"),
        Bullets(data_license_notes(inputs.model)),
        Heading("Initial weights", "weights_license"),
        Bullets([weights_license_note(inputs.model)]),
    ]


SECTION = Section(name="licenses", title="Licenses", content=licenses_content)
