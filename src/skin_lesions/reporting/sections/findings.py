"""Section "Findings in the data": what audit and model revealed, and the shortcut probes."""

from skin_lesions.audit.finding import SEVERITIES, Finding
from skin_lesions.audit.model_findings import unequal_missingness
from skin_lesions.reporting import localization_summary
from skin_lesions.reporting.blocks import (
    Block,
    Cell,
    Collapsible,
    Column,
    FigurePlace,
    FindingBlock,
    Paragraph,
    Table,
    formatted_cell,
    number_cell,
)
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.sections.section import Section
from skin_lesions.reporting.shortcut_table import shortcut_rows

_PROBES = (
    "Each probe is a simple classifier with only one input. It is evaluated on lesions and "
    "patients that it was not trained on. The 95 % interval is below each number."
)


def all_findings(inputs: ReportInputs) -> list[Finding]:
    """Return the findings of the audit and of the trained model, the most severe first.

    Those of the model include what annotated lesions reveal, if it was measured with them.
    """
    found = [*inputs.audit_findings.findings, *inputs.model_findings.findings]
    found += localization_summary.findings_of_model(inputs.stored_localizations, inputs.model)
    if not inputs.fusion.equalized:
        found += unequal_missingness(inputs.fusion.predictive_missingness)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def findings_content(inputs: ReportInputs) -> list[Block]:
    """Return all findings, then the shortcut probes with figure and table."""
    blocks: list[Block] = [FindingBlock(finding) for finding in all_findings(inputs)]
    if not blocks:
        blocks = [
            Paragraph(
                "No findings. The audit checks for duplicates, label conflicts and leakage, but "
                "not for wrong labels."
            )
        ]
    blocks.append(FigurePlace("shortcut_probes"))
    if inputs.audit_findings.shortcut_probes:
        table = Collapsible("Shortcut probes: all results", [Paragraph(_PROBES), _probes(inputs)])
        blocks.append(table)
    return blocks


def _probes(inputs: ReportInputs) -> Table:
    probes = inputs.audit_findings.shortcut_probes
    numbers = ("Balanced accuracy", "Chance", "Maximum", "Classes")
    rows = []
    for row, probe in zip(shortcut_rows(probes), probes, strict=True):
        excluded = f"too few images of: {row.excluded_classes}" if row.excluded_classes else ""
        rows.append(
            [
                Cell(text=row.probe_input),
                Cell(text=row.scope, detail=excluded),
                formatted_cell(row.accuracy, probe.balanced_accuracy.value),
                Cell(text=row.chance, sort_value=probe.chance),
                Cell(text=row.ceiling, sort_value=probe.ceiling),
                number_cell(row.classes),
            ]
        )
    return Table(
        caption="Shortcut probes",
        columns=[
            Column("Input"),
            Column("Images"),
            *(Column(name, numeric=True) for name in numbers),
        ],
        rows=rows,
        layout="wide",
    )


SECTION = Section(name="findings", title="Findings in the data", content=findings_content)
