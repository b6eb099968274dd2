"""The model card: what the software knows of a model, and what its authors must add.

Source:
    Mitchell et al. (2019), doi:10.1145/3287560.3287596 (the sections); what to tell of skin images:
    CLEAR Derm, doi:10.1001/jamadermatol.2021.4915, and CLAIM, doi:10.1148/ryai.2020200029.
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.reporting import formatting as wording
from skin_lesions.reporting.figures.titles import NBSP
from skin_lesions.reporting.formatting import Measure, format_estimate

# As the tables of ISIC, its archive and HAM10000 call them.
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
    """Write the card, in Markdown.

    Nothing is made up: what no table tells is marked "Author must fill". Names that come from
    outside are escaped.
    """
    provenance = {**model["provenance"], **metrics["provenance"]}
    text = _template().render(
        metrics=metrics,
        model=model,
        provenance=provenance,
        images_from=wording.images_from(provenance),
        synthetic=bool(model["synthetic_images"] or metrics["provenance"]["synthetic_images"]),
        counts=_counts(model["classes"], split_table),
        malignant=[label for label in model["classes"] if _is(label, "malignant")],
        premalignant=[label for label in model["classes"] if _is(label, "premalignant")],
        unknown=[label for label in model["classes"] if diagnosis_of(label) is None],
        sources=image_table["source"].value_counts().to_dict(),
        shares=_composition(image_table, split_table),
        policy=wording.policy_note(metrics["split_policy"]),
        original_test=wording.original_test_note(split_table),
        findings=[f for f in audit_findings["findings"] if f["severity"] in ("high", "medium")],
        summary=audit_findings["summary"],
        parts={key: name for key, name in wording.SUBSETS.items() if key in metrics},
        overall=_overall(metrics),
        malignancy=_malignancy(metrics),
        measures=wording.PER_CLASS,
        per_class=_per_class(metrics),
        weakest=_weakest(metrics),
        mixture=wording.class_prior_note(model["recipe"]),
        load_versions=wording.load_versions(metrics),
    )
    return text.replace(NBSP, " ")


def _template() -> Any:
    # Markdown, not HTML: names are escaped by the filter md instead.
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
        "pluralize": wording.pluralize,
        "in_words": wording.format_recipe,
        "decimal": wording.decimal,
        "percent": wording.percent,
    }
    environment.filters.update(filters)
    return environment.get_template("model_card.md.jinja")


def markdown_text(value: object) -> str:
    r"""Escape text so that Markdown shows it as it is, in tables too.

    >>> print(markdown_text("a_b|<i>"))
    a\_b\|&lt;i&gt;
    """
    one_line = html.escape(" ".join(str(value).split()), quote=False)
    escaped = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", one_line)
    # At its start, a line may be taken for a heading, a list or a quotation.
    return re.sub(r"^(\d*)([#+.)-])(?=[\s#+-]|$)", r"\1\\\2", escaped)


def markdown_code(value: object) -> str:
    """Write text as code; backticks and bars would end it, or its table cell."""
    one_line = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{one_line}`"


def _is(label: str, kind: str) -> bool:
    diagnosis = diagnosis_of(label)
    return diagnosis is not None and bool(getattr(diagnosis, kind))


def _counts(classes: list[str], split_table: pd.DataFrame) -> list[tuple[str, list[int]]]:
    counts = wording.counts_by_split(split_table).reindex(classes, fill_value=0)
    columns = [counts[split].tolist() for split in wording.SPLITS]
    return [(label, [int(n) for n in row]) for label, *row in zip(classes, *columns, strict=True)]


def _composition(image_table: pd.DataFrame, split_table: pd.DataFrame) -> list[str]:
    """Say what the metadata tell of age, sex and site, where they do."""
    used = image_table[image_table["file"].isin(split_table["file"])]
    sentences = []
    for what, names in _COLUMNS_OF.items():
        column = next((used[name] for name in names if name in used), None)
        if column is not None:
            is_number = what == "Age"
            values = (pd.to_numeric(column, errors="coerce") if is_number else column).dropna()
            told = _spread(values) if is_number else _most_frequent(values)
            known = f"known of {len(values):,} of {len(used):,} images"
            sentences.append(f"{what}: {known}{'; ' + told if told else ''}.")
    return sentences


def _spread(ages: pd.Series) -> str:
    return f"{ages.min():.0f} to {ages.max():.0f}, median {ages.median():.0f}" if len(ages) else ""


def _most_frequent(values: pd.Series) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in values.value_counts().head(10).items())


def _overall(metrics: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    parts = [metrics[key] for key in wording.SUBSETS if key in metrics]
    return [
        (measure.name, [_cell(part[measure.key], measure) for part in parts])
        for measure in wording.HEADLINE_MEASURES + wording.CALIBRATION_MEASURES
    ]


def _cell(estimate: Mapping[str, Any], measure: Measure) -> str:
    words = format_estimate(estimate, measure.formatter)
    return f"{words.inline} ({markdown_text(words.reason)})" if words.reason else words.inline


def _malignancy(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    part = metrics["test"].get("malignant")
    if not part or not part["classes"]:
        return []
    return [(m.name, m.meaning, _cell(part[m.key], m)) for m in wording.MALIGNANCY]


def _per_class(metrics: Mapping[str, Any]) -> list[tuple[str, int, int, list[str]]]:
    return [
        (
            label,
            row["support"],
            row["correct"],
            [format_estimate(row[m.key], m.formatter).inline for m in wording.PER_CLASS],
        )
        for label, row in metrics["test"]["per_class"].items()
    ]


def _weakest(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Name the classes that are found least, and those too small to tell."""
    rows = metrics["test"]["per_class"]
    tested = [label for label in rows if rows[label]["support"]]
    return {
        "least_found": sorted(tested, key=lambda label: rows[label]["recall"]["value"])[:3],
        "small": [label for label in tested if rows[label]["support"] < 30],
        "untested": [label for label in rows if not rows[label]["support"]],
    }
