"""Model card.

It documents everything that the files record about a model, and marks what its authors must add.

Source:
    Mitchell et al. (2019), doi:10.1145/3287560.3287596 (the sections). ``checklists`` has the items
    of CLEAR Derm and CLAIM.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import pandas as pd

from skin_lesions.config.report import Report
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.scorecard import Scorecard, registry
from skin_lesions.metrics.intervals import FEW_IMAGES
from skin_lesions.reporting import (
    checklists,
    formatting,
    localization_summary,
    metric_tables,
)
from skin_lesions.reporting.environment import render_template
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import NBSP
from skin_lesions.reporting.front_matter import front_matter
from skin_lesions.reporting.sections import clinical_metadata, subgroups, uncertainty
from skin_lesions.reporting.sections.findings import all_findings

# Column names in the tables of the ISIC challenges, the ISIC Archive and HAM10000.
_AGE_COLUMNS = ("age", "age_approx")
_SEX_COLUMNS = ("sex",)
_SITE_COLUMNS = ("site", "anatom_site_general", "localization")
# Marks facts that no file contains. Untrusted text cannot contain it, because stars are escaped.
AUTHOR = "**To be filled by the author**"


def render_model_card(report: Report, **results: object) -> str:
    """Render the model card in Markdown, with YAML front matter for the Hugging Face Hub.

    Facts that no file contains are marked with ``AUTHOR`` and counted. Names are untrusted input
    and are escaped.

    Args:
        report: The parameters of the report.
        results: The other fields of ``ReportInputs`` by name.
    """
    inputs = ReportInputs(report=report, **results)  # type: ignore[arg-type] # checked by name
    body = _body(inputs)
    lists = [_fill(checklist, inputs) for checklist in checklists.CHECKLISTS]
    text = render_template(
        "model_card.md.jinja",
        front_matter=front_matter(inputs.model, inputs.metrics),
        model=inputs.model,
        synthetic=formatting.is_synthetic(inputs.model, inputs.metrics),
        leaky_weights=formatting.leaky_weights_note(inputs.model),
        author=AUTHOR,
        open_lines=body.count(AUTHOR),
        body=body,
        checklists=lists,
        provenance_rows=formatting.provenance_rows(inputs.model, inputs.metrics),
        images_from=formatting.images_from(inputs.model.provenance.origin),
        load_versions=formatting.load_versions(inputs.metrics),
    )
    return text.replace(NBSP, " ")


@dataclass(frozen=True, kw_only=True)
class _FilledChecklist:
    """A checklist with the answers that the results contain, and the number of open items."""

    name: str
    source: str
    answers: list[tuple[int, str, str | None]]
    open_items: int


def _fill(checklist: checklists.Checklist, inputs: ReportInputs) -> _FilledChecklist:
    answers = checklist.answers(inputs)
    return _FilledChecklist(
        name=checklist.name,
        source=checklist.source,
        answers=answers,
        open_items=sum(answer is None for _, _, answer in answers),
    )


def _body(inputs: ReportInputs) -> str:
    """Render the nine sections of Mitchell et al."""
    model, metrics = inputs.model, inputs.metrics
    diagnoses = {label: diagnosis_of(label) for label in model.classes}
    used = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    return render_template(
        "model_card_sections.md.jinja",
        **used,
        author=AUTHOR,
        framing=formatting.describe_framing(model.preprocessing),
        synthetic=formatting.is_synthetic(model, metrics),
        malignant=list(inputs.malignancy.malignant_classes),
        premalignant=[label for label, known in diagnoses.items() if known and known.premalignant],
        unclear=list(inputs.malignancy.excluded_classes),
        sources=inputs.image_table.frame["source"].value_counts().to_dict(),
        composition=_composition(inputs.image_table, inputs.split_table),
        findings=[f for f in all_findings(inputs) if f.severity in ("high", "medium")],
        summary=inputs.audit_findings.summary,
        weakest=_weakest(metrics),
        counts=formatting.counts_by_class(model.classes, inputs.split_table),
        column_split=formatting.column_split_note(inputs.split_table.provenance),
        policy=formatting.policy_note(metrics.split_policy),
        uncertain_links=formatting.uncertain_links_note(inputs.split_table),
        original_test=formatting.original_test_note(inputs.split_table),
        not_used="" if formatting.leaky_weights_note(model) else f"{formatting.TEST_NOT_USED} ",
        validation_note=formatting.VALIDATION_NOTE,
        subsets=metric_tables.subsets(metrics),
        overall_rows=metric_tables.overall_rows(metrics),
        malignancy_rows=metric_tables.malignancy_rows(metrics, inputs.malignancy),
        evaluated_classes=formatting.evaluated_classes_note(metrics.test),
        overall_metrics=registry.METRICS,
        class_metrics=registry.CLASS_METRICS,
        class_rows=metric_tables.class_rows(metrics),
        few_images=FEW_IMAGES,
        recipe=formatting.format_recipe(model.recipe),
        class_prior=formatting.class_prior_note(model),
        conformal=uncertainty.conformal_sentence(inputs),
        selective=uncertainty.selective_sentence(inputs),
        unknown_images=uncertainty.unknown_sentence(inputs),
        fusion_sentence=" ".join(
            [
                clinical_metadata.fusion_sentence(inputs.fusion),
                *clinical_metadata.equalized_sentences(inputs.fusion),
            ]
        ),
        localizations=[
            f"{results.provenance.images}: {localization_summary.summary_sentence(results)}"
            for results in localization_summary.results_of_model(
                inputs.stored_localizations, model
            )[0]
        ],
        evaluations=inputs.test_ledger.summary(metrics.provenance.model_version),
        gaps=[
            f"{column.column}: {subgroups.gap_sentence(column, inputs.slices.comparisons)}"
            for column in inputs.slices.columns
        ],
        decision={
            "balanced": "equal class frequencies",
            "frequency": "the class frequencies of the training images",
        }[model.postprocessing.frequencies.decision],
        data_licenses=formatting.data_license_notes(model),
        weights_license=formatting.weights_license_note(model),
    )


def _composition(image_table: ImageTable, split_table: SplitTable) -> list[str]:
    """Summarize age, sex and site in one sentence each, if the metadata have them."""
    used = image_table.frame[image_table.frame["file"].isin(split_table.frame["file"])]
    sentences = []
    for name, columns in (("Age", _AGE_COLUMNS), ("Sex", _SEX_COLUMNS), ("Site", _SITE_COLUMNS)):
        column = next((used[key] for key in columns if key in used), None)
        if column is not None:
            values = pd.to_numeric(column, errors="coerce") if name == "Age" else column
            known = values.dropna()
            summary = ""
            if len(known) and name == "Age":
                summary = f"; {known.min():.0f} to {known.max():.0f}, median {known.median():.0f}"
            elif len(known):
                counts = known.value_counts().head(10)
                summary = "; " + ", ".join(f"{value} {n:,}" for value, n in counts.items())
            sentences.append(f"{name}: known for {len(known):,} of {len(used):,} images{summary}.")
    return sentences


class _Weakest(NamedTuple):
    """Classes with the lowest recall, with few test images, and without test images."""

    lowest_recall: list[str]
    small: list[str]
    untested: list[str]


def _weakest(metrics: Scorecard) -> _Weakest:
    rows = metrics.test.per_class
    recall = {
        label: row["recall"].value for label, row in rows.items() if row["recall"].value is not None
    }
    return _Weakest(
        lowest_recall=sorted(recall, key=recall.__getitem__)[:3],
        small=[label for label in recall if rows[label].support < FEW_IMAGES],
        untested=[label for label in rows if label not in recall],
    )
