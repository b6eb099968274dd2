"""Section "Data": the split, the classes and the unusable files."""

from collections.abc import Iterable

from markupsafe import Markup

from skin_lesions.core.text import pluralize
from skin_lesions.reporting import formatting
from skin_lesions.reporting.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    FigurePlace,
    Heading,
    Paragraph,
    Table,
    code,
    join,
    number_cell,
    strong,
)
from skin_lesions.reporting.figures.fonts import figure_code
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.sections.section import Section

_MAX_FILES = 50  # unusable files that are listed


def data_content(inputs: ReportInputs) -> list[Block]:
    """Return counts, split, figures of classes and images, and the unusable files."""
    summary = inputs.audit_findings.summary
    counts = (
        f"{pluralize(summary.files, 'file')}, {pluralize(summary.images, 'different image')} in "
        f"{pluralize(summary.groups, 'group')}, {pluralize(summary.classes, 'class', 'classes')}; "
        f"{pluralize(summary.quarantined, 'file')} could not be used. The largest groups contain "
        f"{', '.join(map(str, summary.largest_groups))} files. A group contains related images."
    )
    return [
        Paragraph(counts),
        Heading("Split", "split"),
        *_split(inputs),
        *_figure_codes(inputs),
        FigurePlace("class_counts"),
        FigurePlace("sample_images"),
        Heading("Unusable files", "unusable_files"),
        *_unusable_files(inputs),
    ]


def _split(inputs: ReportInputs) -> Iterable[Block]:
    policy = inputs.metrics.split_policy
    lead = strong(Markup("Split policy {}.").format(code(policy)))
    yield Paragraph(
        join([lead, formatting.policy_note(policy)]), "warning" if policy == "original" else "text"
    )
    table = inputs.split_table
    by_column = formatting.column_split_note(table.provenance)
    if by_column:
        yield Paragraph(by_column)
    links, leaked = formatting.uncertain_links_note(table), formatting.original_test_note(table)
    yield Paragraph(f"{links} {leaked}")
    columns = [Column("Split"), *(Column(n, numeric=True) for n in ("Images", "Groups", "Classes"))]
    rows = []
    for split, name in formatting.SPLITS.items():
        images = table.frame[table.frame["split"] == split]
        counts = (len(images), images["group_id"].nunique(), images["label"].nunique())
        rows.append([Cell(text=name), *map(number_cell, counts)])
    yield Table(caption="Images by split", columns=columns, rows=rows)


def _figure_codes(inputs: ReportInputs) -> Iterable[Block]:
    """Explain the codes of class names that no font of the machine can draw."""
    labels = [*inputs.model.classes, *inputs.image_table.frame["label"].unique()]
    codes = {figure_code(label): label for label in labels}
    items = [f"{key}: {label}" for key, label in codes.items() if key is not None]
    if items:
        yield Paragraph(
            "No font of the machine that made the figures can draw some of the class names. The "
            "figures show codes for them:"
        )
        yield Bullets(items)


def _unusable_files(inputs: ReportInputs) -> Iterable[Block]:
    files = inputs.quarantine
    if files.empty:
        yield Paragraph("All files could be used.")
        return
    text: str = f"{pluralize(len(files), 'file')} could not be used."
    if len(files) > _MAX_FILES:
        start = f"{pluralize(len(files), 'file')} could not be used; the first {_MAX_FILES} are "
        text = join([start + "listed here, and", code("quarantine.csv"), "lists all."])
    yield Paragraph(text)
    listed = files.head(_MAX_FILES).astype(str)
    yield Table(
        caption="Unusable files",
        columns=[Column("File"), Column("Reason")],
        rows=[
            [Cell(text=code(file)), Cell(text=reason)]
            for file, reason in zip(listed["file"], listed["reason"], strict=True)
        ],
        layout="files",
    )


SECTION = Section(name="data", title="Data", content=data_content)
