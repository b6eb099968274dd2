"""HTML report.

One file with all results, styles and figures. It opens offline and loads no other file.
"""

import base64
import struct
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.audit.finding import SEVERITIES
from skin_lesions.core.text import pluralize
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.reporting import formatting
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.formatting import Measure, format_estimate
from skin_lesions.reporting.shortcut_table import shortcut_rows

_MAX_QUARANTINE_ROWS = 50
_DOTS_PER_PIXEL = 1.5  # figures are saved at 150 dots per inch and displayed at 100
_HEADINGS = {
    "confusion_matrix": "Confusion matrix",
    "per_class_recall": "Recall by class",
    "calibration_curve": "Calibration",
    "loss_curves": "Training curves",
    "class_counts": "Images per class and split",
    "shortcut_probes": "Shortcut probes",
    "linked_image_pairs": "Linked images",
    "sample_images": "Sample images",
}


def render_report(
    *,
    metrics: Mapping[str, Any],
    model: Mapping[str, Any],
    audit_findings: Mapping[str, Any],
    split_table: pd.DataFrame,
    quarantine: pd.DataFrame,
    training_history: pd.DataFrame,
    image_table: pd.DataFrame,
    figures: Mapping[str, bytes],
) -> str:
    """Render the report.

    Class names, file names and reasons are untrusted input. All of them are escaped.

    Args:
        metrics: Content of ``metrics.json``.
        model: Content of the model file; the weights are not used.
        audit_findings: Content of ``audit_findings.json``.
        split_table: One row per file used.
        quarantine: One row per unusable file; file and reason.
        training_history: One row per epoch.
        image_table: One row per readable file.
        figures: Name to PNG. Figures are displayed in the order of the report, unknown names last.

    Returns:
        One HTML document with embedded styles and figures.
    """
    alt_texts = _alt_texts(metrics, training_history, image_table, audit_findings)
    return _template().render(
        css=files("skin_lesions.reporting")
        .joinpath("templates", "report.css")
        .read_text(encoding="utf-8"),
        metrics=metrics,
        model=model,
        provenance={**model["provenance"], **metrics["provenance"]},
        images_from=formatting.images_from(model["provenance"]),
        synthetic=bool(model["synthetic_images"] or metrics["provenance"]["synthetic_images"]),
        headlines=[_headline(metrics, measure) for measure in formatting.HEADLINE_MEASURES],
        correct=sum(row["correct"] for row in metrics["test"]["per_class"].values()),
        comparison=_comparison(metrics),
        malignancy=_malignancy(metrics),
        policy=formatting.policy_note(metrics["split_policy"]),
        original_test=formatting.original_test_note(split_table),
        splits=_splits(split_table),
        audit=_audit(audit_findings),
        figures=[_figure(name, figures[name], alt_texts) for name in _ordered_names(figures)],
        measures=formatting.PER_CLASS,
        classes=_classes(metrics, split_table),
        quarantine=quarantine.head(_MAX_QUARANTINE_ROWS).astype(str).to_dict("records"),
        quarantined=len(quarantine),
        training=_training(model, training_history),
        recipe=formatting.format_recipe(model["recipe"]),
        load_versions=formatting.load_versions(metrics),
    )


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("skin_lesions.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["pluralize"] = pluralize
    return environment.get_template("report.html.jinja")


def _headline(metrics: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    test, validation = metrics["test"], metrics["validation"]
    return {
        "measure": measure,
        "test": format_estimate(test[measure.key], measure.formatter),
        "validation": format_estimate(validation[measure.key], measure.formatter),
    }


def _comparison(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return each overall metric for each subset that has metrics."""
    subsets = {key: name for key, name in formatting.SUBSETS.items() if key in metrics}
    return {
        "subsets": [
            {"name": name, "n": metrics[key]["n"], "groups": metrics[key]["groups"]}
            for key, name in subsets.items()
        ],
        "rows": [
            (
                measure,
                [format_estimate(metrics[key][measure.key], measure.formatter) for key in subsets],
            )
            for measure in formatting.HEADLINE_MEASURES + formatting.CALIBRATION_MEASURES
        ],
    }


def _malignancy(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    malignant = metrics["test"].get("malignant")
    if not malignant or not malignant["classes"]:
        return None
    return {
        "classes": malignant["classes"],
        "excluded_classes": malignant["excluded_classes"],
        "rows": [
            (m, format_estimate(malignant[m.key], m.formatter)) for m in formatting.MALIGNANCY
        ],
    }


def _splits(split_table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": formatting.SPLITS[split],
            "images": len(rows),
            "groups": rows["group_id"].nunique(),
            "classes": rows["label"].nunique(),
        }
        for split in formatting.SPLITS
        for rows in [split_table[split_table["split"] == split]]
    ]


def _audit(audit_findings: Mapping[str, Any]) -> dict[str, Any]:
    findings = sorted(
        audit_findings["findings"], key=lambda finding: SEVERITIES.index(finding["severity"])
    )
    return {
        "summary": audit_findings["summary"],
        "shortcut_probes": shortcut_rows(audit_findings["shortcut_probes"]),
        "findings": [
            {**f, "examples": [[e] if isinstance(e, str) else list(e) for e in f["examples"]]}
            for f in findings
        ],
    }


def _ordered_names(figures: Mapping[str, bytes]) -> list[str]:
    known = [name for name in _HEADINGS if name in figures]
    return known + [name for name in figures if name not in _HEADINGS]


def _figure(name: str, png: bytes, alt_texts: Mapping[str, str]) -> dict[str, Any]:
    width, height = struct.unpack(
        ">II", png[16:24]
    )  # width and height in the PNG header (IHDR chunk)
    return {
        "name": name,
        "heading": _HEADINGS.get(name, _readable(name)),
        "alt": alt_texts.get(name, _readable(name)),
        "data": base64.b64encode(png).decode("ascii"),
        "width": round(width / _DOTS_PER_PIXEL),
        "height": round(height / _DOTS_PER_PIXEL),
    }


def _alt_texts(
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    image_table: pd.DataFrame,
    audit_findings: Mapping[str, Any],
) -> dict[str, str]:
    return {
        "confusion_matrix": titles.confusion(metrics),
        "per_class_recall": titles.recall(metrics),
        "calibration_curve": titles.calibration(metrics),
        "loss_curves": titles.loss(history),
        "class_counts": titles.class_counts(image_table),
        "shortcut_probes": titles.shortcuts(audit_findings["shortcut_probes"]),
        "linked_image_pairs": "Linked images side by side, examples of each link type",
        "sample_images": titles.samples(image_table),
    }


def _classes(metrics: Mapping[str, Any], split_table: pd.DataFrame) -> list[dict[str, Any]]:
    counts = formatting.counts_by_split(split_table)
    rows = []
    for label, class_metrics in metrics["test"]["per_class"].items():
        diagnosis = diagnosis_of(label)
        has_counts = label in counts.index
        rows.append(
            {
                "label": label,
                "malignant": diagnosis is not None and diagnosis.malignant,
                "train": int(counts.loc[label, "train"]) if has_counts else 0,
                "val": int(counts.loc[label, "val"]) if has_counts else 0,
                "support": class_metrics["support"],
                "correct": class_metrics["correct"],
                "estimates": [
                    format_estimate(class_metrics[m.key], m.formatter) for m in formatting.PER_CLASS
                ],
            }
        )
    return rows


def _training(model: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    seconds = float(history["seconds"].sum())
    return {
        "epochs": len(history),
        "duration": formatting.format_duration(seconds),
        "epoch_duration": formatting.format_duration(seconds / len(history)),
        "images_per_second": f"{history['images_per_second'].median():,.0f}",
        "metric": _readable(model["selection"]["by"]),
        "value": formatting.percent(model["selection"]["value"]),
        "temperature": f"{model['calibration']['temperature']:.3f}",
        "nll_before": formatting.decimal(model["calibration"]["nll_before"]),
        "nll_after": formatting.decimal(model["calibration"]["nll_after"]),
        "class_prior": formatting.class_prior_note(model["recipe"]),
        "image_size": formatting.format_value(model["preprocessing"]["image_size"]),
    }


def _readable(name: str) -> str:
    return name.replace("_", " ")
