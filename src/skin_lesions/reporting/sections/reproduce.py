"""Section "Reproduce these results": the command, the versions and the software."""

from skin_lesions.reporting.blocks import Block, Cell, Paragraph, Preformatted, Table, code, join
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import images_from, load_versions, provenance_rows
from skin_lesions.reporting.sections.section import Section


def reproduce_content(inputs: ReportInputs) -> list[Block]:
    """Return the command that evaluates again, and the provenance."""
    text = join(
        [
            "To evaluate the same model on the same images again (with the same",
            code("--env"),
            "and data root):",
        ]
    )
    versions = load_versions(inputs.metrics)
    source = [Cell(text="Image source"), Cell(text=images_from(inputs.model.provenance.origin))]
    rows = [
        [Cell(text=name), Cell(text=code(value))]
        for name, value in provenance_rows(inputs.model, inputs.metrics)
    ]
    return [
        Paragraph(text),
        Preformatted(f'kedro run --pipelines evaluate --load-versions "{versions}"'),
        Table(caption="Provenance", columns=[], rows=[source, *rows], layout="pairs"),
    ]


SECTION = Section(name="reproduce", title="Reproduce these results", content=reproduce_content)
