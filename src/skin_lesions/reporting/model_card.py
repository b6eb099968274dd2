"""Model card.

It documents everything that the files record about a model, and marks what its authors must add.

Source:
    Mitchell et al. (2019), doi:10.1145/3287560.3287596 (the sections). What to report about skin
    images: CLEAR Derm, doi:10.1001/jamadermatol.2021.4915, and CLAIM, doi:10.1148/ryai.2020200029.
"""

from typing import NamedTuple

import pandas as pd

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.scorecard import registry as metric_registry
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting import formatting
from skin_lesions.reporting.environment import environment
from skin_lesions.reporting.front_matter import front_matter
from skin_lesions.reporting.metric_tables import (
    class_rows,
    malignancy_rows,
    overall_rows,
    subsets,
)

# Column names in the tables of the ISIC challenges, the ISIC Archive and HAM10000.
_AGE_COLUMNS = ("age", "age_approx")
_SEX_COLUMNS = ("sex",)
_SITE_COLUMNS = ("site", "anatom_site_general", "localization")
_FEW_IMAGES = 30  # results of classes with fewer test images are uncertain


def render_model_card(
    metrics: Scorecard,
    model: TrainedModel,
    audit_findings: AuditFindings,
    split_table: SplitTable,
    image_table: ImageTable,
) -> str:
    """Render the model card in Markdown, with YAML front matter for the Hugging Face Hub.

    Facts that no file contains are marked "Author must fill". Names are untrusted input and are
    escaped.
    """
    diagnoses = {label: diagnosis_of(label) for label in model.classes}
    text = (
        environment()
        .get_template("model_card.md.jinja")
        .render(
            front_matter=front_matter(model, metrics),
            metrics=metrics,
            model=model,
            images_from=formatting.images_from(model.provenance.origin),
            synthetic=formatting.is_synthetic(model, metrics),
            counts=formatting.counts_by_class(model.classes, split_table),
            malignant=[label for label, known in diagnoses.items() if known and known.malignant],
            premalignant=[
                label for label, known in diagnoses.items() if known and known.premalignant
            ],
            unknown=[label for label, known in diagnoses.items() if known is None],
            sources=image_table.frame["source"].value_counts().to_dict(),
            composition=_composition(image_table, split_table),
            policy=formatting.policy_note(metrics.split_policy),
            original_test=formatting.original_test_note(split_table),
            findings=[f for f in audit_findings.findings if f.severity in ("high", "medium")],
            summary=audit_findings.summary,
            subsets=subsets(metrics),
            overall_rows=overall_rows(metrics),
            malignancy_rows=malignancy_rows(metrics),
            class_metrics=metric_registry.CLASS_METRICS,
            class_rows=class_rows(metrics),
            weakest=_weakest(metrics),
            recipe=formatting.format_recipe(model.recipe),
            class_prior=formatting.class_prior_note(model.recipe),
            provenance_rows=formatting.provenance_rows(model, metrics),
            load_versions=formatting.load_versions(metrics),
        )
    )
    return text.replace(formatting.NBSP, " ")


def _composition(image_table: ImageTable, split_table: SplitTable) -> list[str]:
    """Summarize age, sex and site in one sentence each, if the metadata have them."""
    used = image_table.frame[image_table.frame["file"].isin(split_table.frame["file"])]
    sentences = []
    for name, columns in (("Age", _AGE_COLUMNS), ("Sex", _SEX_COLUMNS), ("Site", _SITE_COLUMNS)):
        column = next((used[key] for key in columns if key in used), None)
        if column is not None:
            values = pd.to_numeric(column, errors="coerce") if name == "Age" else column
            known = values.dropna()
            sentence = f"{name}: known for {len(known):,} of {len(used):,} images"
            if len(known):
                sentence += f"; {_age_range(known) if name == 'Age' else _most_frequent(known)}"
            sentences.append(f"{sentence}.")
    return sentences


def _age_range(ages: pd.Series) -> str:
    return f"{ages.min():.0f} to {ages.max():.0f}, median {ages.median():.0f}"


def _most_frequent(values: pd.Series) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in values.value_counts().head(10).items())


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
        small=[label for label in recall if rows[label].support < _FEW_IMAGES],
        untested=[label for label in rows if label not in recall],
    )
