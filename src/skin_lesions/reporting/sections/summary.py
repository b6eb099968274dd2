"""Section "Summary": the headline metrics, the split and the most severe finding."""

from skin_lesions.audit.finding import Severity
from skin_lesions.core.text import pluralize
from skin_lesions.reporting import metric_tables
from skin_lesions.reporting.blocks import (
    Block,
    Fact,
    Facts,
    Heading,
    MetricCard,
    MetricCards,
    Paragraph,
)
from skin_lesions.reporting.comparison_summary import selected_comparison, summary_sentences
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import evaluated_classes_note
from skin_lesions.reporting.sections.findings import all_findings
from skin_lesions.reporting.sections.section import Section

_INTERVALS = (
    "Numbers of the test images. In about 95 of 100 repetitions of the study, the 95 % interval "
    "contains the value that an unlimited number of similar images would give. "
    "Predictions for images of one lesion or patient tend to be right or wrong together. The "
    "intervals take this into account. They do not cover images from other clinics, cameras or "
    "skin types."
)


def summary_content(inputs: ReportInputs) -> list[Block]:
    """Return the headline metrics with intervals, and the facts that limit them."""
    facts = [_split(inputs), _classes(inputs), _most_severe_finding(inputs), _ledger(inputs)]
    blocks: list[Block] = [MetricCards(_cards(inputs)), Facts(facts)]
    comparison = selected_comparison(inputs.stored_comparisons, inputs.report)
    if comparison is not None:
        blocks.append(Heading("Comparison of two models", "comparison"))
        blocks += [Paragraph(sentence) for sentence in summary_sentences(comparison)]
    return [*blocks, Paragraph(_INTERVALS, "note")]


def _cards(inputs: ReportInputs) -> list[MetricCard]:
    rows = metric_tables.overall_rows(inputs.metrics)
    headline = [(metric, estimates) for metric, estimates in rows if metric.headline]
    return [
        MetricCard(
            name=metric.name,
            value=estimates[0].value,
            interval=estimates[0].interval,
            reason=estimates[0].reason,
            beside=f"Validation {estimates[-1].value}",
        )
        for metric, estimates in headline
    ]


def _split(inputs: ReportInputs) -> Fact:
    test = inputs.metrics.test
    correct = sum(row.correct for row in test.per_class.values())
    text = (
        f"policy {inputs.metrics.split_policy}; {correct:,} of {pluralize(test.n, 'test image')} "
        f"in {pluralize(test.groups, 'group')} are classified correctly"
    )
    severity: Severity | None = "high" if inputs.metrics.split_policy == "original" else None
    return Fact("Split", text, severity, target="split")


def _classes(inputs: ReportInputs) -> Fact:
    note = evaluated_classes_note(inputs.metrics.test)
    n = len(inputs.metrics.test.per_class)
    text = note or f"{n} of {n} classes evaluated"
    return Fact("Classes", text, "medium" if note else None, target="results_by_class")


def _most_severe_finding(inputs: ReportInputs) -> Fact:
    found = all_findings(inputs)
    if not found:
        return Fact("Findings in the data", "no findings", target="findings")
    first = found[0]
    return Fact(f"Most severe of {len(found)} findings", first.message, first.severity, "findings")


def _ledger(inputs: ReportInputs) -> Fact:
    text = inputs.test_ledger.summary(inputs.metrics.provenance.model_version)
    return Fact("Evaluations of the test split", text)


SECTION = Section(name="summary", title="Summary", content=summary_content)
