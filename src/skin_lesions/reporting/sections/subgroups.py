"""Section "Subgroups": leaked and clean test images."""

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.scorecard import registry
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Paragraph,
    Table,
    estimate_cell,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.metric_tables import subsets
from skin_lesions.reporting.sections.section import Section

_TEXT = (
    "A test image is leaked if the original training or validation split contains a duplicate or "
    "another image of its group. The model was tested on such images after it had seen them or "
    "related ones."
)


def subgroups_content(inputs: ReportInputs) -> list[Block]:
    """Compare leaked and clean test images; empty unless the split is the original one."""
    metrics = inputs.metrics
    if metrics.test_clean is None and metrics.test_leaked is None:
        return []
    shown = {name: s for name, s in subsets(metrics).items() if s is not metrics.validation}
    columns = [Column("Metric", sortable=False)]
    for name, subset in shown.items():
        detail = pluralize(subset.n, "image")
        columns.append(Column(name, numeric=True, detail=detail, sortable=False))
    rows = [
        [
            Cell(text=metric.name),
            *(estimate_cell(subset[metric.key], metric.format) for subset in shown.values()),
        ]
        for metric in registry.METRICS
        if metric.headline
    ]
    return [
        Heading("Leaked and clean test images", "leaked_images"),
        Paragraph(_TEXT),
        Table(caption="Leaked and clean test images", columns=columns, rows=rows, layout="wide"),
    ]


SECTION = Section(name="subgroups", title="Subgroups", content=subgroups_content)
