"""Model card.

It documents everything that the files record about a model, and marks what its authors must add.

Source:
    Mitchell et al. (2019), doi:10.1145/3287560.3287596 (the sections). What to report about skin
    images: CLEAR Derm, doi:10.1001/jamadermatol.2021.4915, and CLAIM, doi:10.1148/ryai.2020200029.
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.core.text import pluralize
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.reporting import formatting
from skin_lesions.reporting.figures.titles import NBSP
from skin_lesions.reporting.formatting import Measure, format_estimate

# Column names in the tables of the ISIC challenges, the ISIC Archive and HAM10000.
_COLUMNS_OF = {
    "Age": ("age", "age_approx"),
    "Sex": ("sex",),
    "Site": ("site", "anatom_site_general", "localization"),
}


def render_model_card(
    *,
    metrics: Mapping[str, Any],
    model: Mapping[str, Any],
    audit_findings: Mapping[str, Any],
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
) -> str:
    """Render the model card in Markdown.

    Facts that no file contains are marked "Author must fill". Names are untrusted input and are
    escaped.
    """
    provenance = {**model["provenance"], **metrics["provenance"]}
    text = _template().render(
        metrics=metrics,
        model=model,
        provenance=provenance,
        images_from=formatting.images_from(provenance),
        synthetic=bool(model["synthetic_images"] or metrics["provenance"]["synthetic_images"]),
        counts=_counts(model["classes"], split_table),
        malignant=[label for label in model["classes"] if _has_property(label, "malignant")],
        premalignant=[label for label in model["classes"] if _has_property(label, "premalignant")],
        unknown=[label for label in model["classes"] if diagnosis_of(label) is None],
        sources=image_table["source"].value_counts().to_dict(),
        composition=_composition(image_table, split_table),
        policy=formatting.policy_note(metrics["split_policy"]),
        original_test=formatting.original_test_note(split_table),
        findings=[f for f in audit_findings["findings"] if f["severity"] in ("high", "medium")],
        summary=audit_findings["summary"],
        subsets={key: name for key, name in formatting.SUBSETS.items() if key in metrics},
        overall=_overall(metrics),
        malignancy=_malignancy(metrics),
        measures=formatting.PER_CLASS,
        per_class=_per_class(metrics),
        weakest=_weakest(metrics),
        class_prior=formatting.class_prior_note(model["recipe"]),
        load_versions=formatting.load_versions(metrics),
    )
    return text.replace(NBSP, " ")


def _template() -> Any:
    # The output is Markdown, not HTML: the filter md escapes names instead of autoescape.
    environment = Environment(
        loader=PackageLoader("skin_lesions.reporting"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "md": markdown_text,
        "mds": lambda items: ", ".join(markdown_text(item) for item in items),
        "code": markdown_code,
        "count": lambda number: f"{number:,}",
        "pluralize": pluralize,
        "format_recipe": formatting.format_recipe,
        "decimal": formatting.decimal,
        "percent": formatting.percent,
    }
    environment.filters.update(filters)
    return environment.get_template("model_card.md.jinja")


def markdown_text(value: object) -> str:
    r"""Escape text so that Markdown displays it unchanged, also in tables.

    >>> print(markdown_text("a_b|<i>"))
    a\_b\|&lt;i&gt;
    """
    one_line = html.escape(" ".join(str(value).split()), quote=False)
    escaped = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", one_line)
    # At the start of a line, these characters would begin a heading or a list.
    return re.sub(r"^(\d*)([#+.)-])(?=[\s#+-]|$)", r"\1\\\2", escaped)


def markdown_code(value: object) -> str:
    """Format text as inline code.

    Backticks would end the code and bars the table cell, so they are replaced.
    """
    one_line = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{one_line}`"


def _has_property(label: str, name: str) -> bool:
    diagnosis = diagnosis_of(label)
    return diagnosis is not None and bool(getattr(diagnosis, name))


def _counts(classes: list[str], split_table: pd.DataFrame) -> list[tuple[str, list[int]]]:
    counts = formatting.counts_by_split(split_table).reindex(classes, fill_value=0)
    columns = [counts[split].tolist() for split in formatting.SPLITS]
    return [(label, [int(n) for n in row]) for label, *row in zip(classes, *columns, strict=True)]


def _composition(image_table: pd.DataFrame, split_table: pd.DataFrame) -> list[str]:
    """Summarize age, sex and site in one sentence each, if the metadata have them."""
    used = image_table[image_table["file"].isin(split_table["file"])]
    sentences = []
    for name, column_names in _COLUMNS_OF.items():
        column = next((used[key] for key in column_names if key in used), None)
        if column is not None:
            is_number = name == "Age"
            values = (pd.to_numeric(column, errors="coerce") if is_number else column).dropna()
            summary = _format_range(values) if is_number else _format_frequencies(values)
            known = f"known for {len(values):,} of {len(used):,} images"
            sentences.append(f"{name}: {known}{'; ' + summary if summary else ''}.")
    return sentences


def _format_range(ages: pd.Series) -> str:
    return f"{ages.min():.0f} to {ages.max():.0f}, median {ages.median():.0f}" if len(ages) else ""


def _format_frequencies(values: pd.Series) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in values.value_counts().head(10).items())


def _overall(metrics: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    subsets = [metrics[key] for key in formatting.SUBSETS if key in metrics]
    return [
        (measure.name, [_cell(subset[measure.key], measure) for subset in subsets])
        for measure in formatting.HEADLINE_MEASURES + formatting.CALIBRATION_MEASURES
    ]


def _cell(estimate: Mapping[str, Any], measure: Measure) -> str:
    text = format_estimate(estimate, measure.formatter)
    return f"{text.inline} ({markdown_text(text.reason)})" if text.reason else text.inline


def _malignancy(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    malignant = metrics["test"].get("malignant")
    if not malignant or not malignant["classes"]:
        return []
    return [(m.name, m.meaning, _cell(malignant[m.key], m)) for m in formatting.MALIGNANCY]


def _per_class(metrics: Mapping[str, Any]) -> list[tuple[str, int, int, list[str]]]:
    return [
        (
            label,
            row["support"],
            row["correct"],
            [format_estimate(row[m.key], m.formatter).inline for m in formatting.PER_CLASS],
        )
        for label, row in metrics["test"]["per_class"].items()
    ]


def _weakest(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """List the classes with the lowest recall, with few test images, and without test images."""
    rows = metrics["test"]["per_class"]
    tested = [label for label in rows if rows[label]["support"]]
    return {
        "lowest_recall": sorted(tested, key=lambda label: rows[label]["recall"]["value"])[:3],
        "small": [label for label in tested if rows[label]["support"] < 30],
        "untested": [label for label in rows if not rows[label]["support"]],
    }
