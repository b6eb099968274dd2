"""The report: one HTML file that shows everything, opens offline and loads nothing."""

import base64
import struct
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.audit.finding import SEVERITIES
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.reporting import formatting as wording
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.formatting import Measure, format_estimate
from skin_lesions.reporting.shortcut_table import shortcut_rows

_SHOWN_QUARANTINE = 50
_DOTS_PER_PIXEL = 1.5  # figures are saved at 150 dots per inch, shown at 100
_HEADINGS = {
    "confusion_matrix": "What is taken for what",
    "per_class_recall": "How often each class is found",
    "calibration_curve": "Whether its confidence can be believed",
    "loss_curves": "How training went",
    "class_counts": "How many images there are",
    "shortcut_probes": "What a model could cheat with",
    "linked_image_pairs": "Which pictures are linked",
    "sample_images": "What the images look like",
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
    """Write the page.

    Class names, file names and reasons come from outside; all of them are escaped.

    Args:
        metrics: As ``metrics.json`` holds them.
        model: The model dict; its weights aren't read.
        audit_findings: As ``audit_findings.json`` holds them.
        split_table: One row per file used.
        quarantine: file and reason.
        training_history: One row per epoch.
        image_table: One row per readable file.
        figures: Name to PNG; shown in the order of the page, unknown names last.

    Returns:
        One HTML document with its styles and figures inside.
    """
    alternatives = _alternatives(metrics, training_history, image_table, audit_findings)
    return _template().render(
        css=files("skin_lesions.reporting")
        .joinpath("templates", "report.css")
        .read_text(encoding="utf-8"),
        metrics=metrics,
        model=model,
        provenance={**model["provenance"], **metrics["provenance"]},
        images_from=wording.images_from(model["provenance"]),
        synthetic=bool(model["synthetic_images"] or metrics["provenance"]["synthetic_images"]),
        headlines=[_headline(metrics, measure) for measure in wording.HEADLINE_MEASURES],
        correct=sum(row["correct"] for row in metrics["test"]["per_class"].values()),
        comparison=_comparison(metrics),
        malignancy=_malignancy(metrics),
        policy=wording.policy_note(metrics["split_policy"]),
        original_test=wording.original_test_note(split_table),
        splits=_splits(split_table),
        audit=_audit(audit_findings),
        figures=[_figure(name, figures[name], alternatives) for name in _in_order(figures)],
        measures=wording.PER_CLASS,
        classes=_classes(metrics, split_table),
        quarantine=quarantine.head(_SHOWN_QUARANTINE).astype(str).to_dict("records"),
        quarantined=len(quarantine),
        training=_training(model, training_history),
        recipe=wording.format_recipe(model["recipe"]),
        load_versions=wording.load_versions(metrics),
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
    environment.filters["pluralize"] = wording.pluralize
    return environment.get_template("report.html.jinja")


def _headline(metrics: Mapping[str, Any], measure: Measure) -> dict[str, Any]:
    test, validation = metrics["test"], metrics["validation"]
    return {
        "measure": measure,
        "test": format_estimate(test[measure.key], measure.formatter),
        "validation": format_estimate(validation[measure.key], measure.formatter),
    }


def _comparison(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Every overall number for every part of the metrics that is there."""
    parts = {key: name for key, name in wording.SUBSETS.items() if key in metrics}
    return {
        "parts": [
            {"name": name, "n": metrics[key]["n"], "groups": metrics[key]["groups"]}
            for key, name in parts.items()
        ],
        "rows": [
            (
                measure,
                [format_estimate(metrics[key][measure.key], measure.formatter) for key in parts],
            )
            for measure in wording.HEADLINE_MEASURES + wording.CALIBRATION_MEASURES
        ],
    }


def _malignancy(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    part = metrics["test"].get("malignant")
    if not part or not part["classes"]:
        return None
    return {
        "classes": part["classes"],
        "excluded_classes": part["excluded_classes"],
        "rows": [(m, format_estimate(part[m.key], m.formatter)) for m in wording.MALIGNANCY],
    }


def _splits(split_table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": wording.SPLITS[split],
            "images": len(rows),
            "groups": rows["group_id"].nunique(),
            "classes": rows["label"].nunique(),
        }
        for split in wording.SPLITS
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


def _in_order(figures: Mapping[str, bytes]) -> list[str]:
    known = [name for name in _HEADINGS if name in figures]
    return known + [name for name in figures if name not in _HEADINGS]


def _figure(name: str, png: bytes, alternatives: Mapping[str, str]) -> dict[str, Any]:
    width, height = struct.unpack(">II", png[16:24])  # of the header of every PNG
    return {
        "name": name,
        "heading": _HEADINGS.get(name, _title_case(name)),
        "alt": alternatives.get(name, _title_case(name)),
        "data": base64.b64encode(png).decode("ascii"),
        "width": round(width / _DOTS_PER_PIXEL),
        "height": round(height / _DOTS_PER_PIXEL),
    }


def _alternatives(
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
        "linked_image_pairs": "Linked pictures side by side, some of each kind of link",
        "sample_images": titles.samples(image_table),
    }


def _classes(metrics: Mapping[str, Any], split_table: pd.DataFrame) -> list[dict[str, Any]]:
    counts = wording.counts_by_split(split_table)
    rows = []
    for label, numbers in metrics["test"]["per_class"].items():
        diagnosis = diagnosis_of(label)
        known = label in counts.index
        rows.append(
            {
                "label": label,
                "malignant": diagnosis is not None and diagnosis.malignant,
                "train": int(counts.loc[label, "train"]) if known else 0,
                "val": int(counts.loc[label, "val"]) if known else 0,
                "support": numbers["support"],
                "correct": numbers["correct"],
                "estimates": [
                    format_estimate(numbers[m.key], m.formatter) for m in wording.PER_CLASS
                ],
            }
        )
    return rows


def _training(model: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    seconds = float(history["seconds"].sum())
    return {
        "epochs": len(history),
        "took": wording.format_duration(seconds),
        "per_epoch": wording.format_duration(seconds / len(history)),
        "images_per_second": f"{history['images_per_second'].median():,.0f}",
        "by": _title_case(model["selection"]["by"]),
        "value": wording.percent(model["selection"]["value"]),
        "temperature": f"{model['calibration']['temperature']:.3f}",
        "nll_before": wording.decimal(model["calibration"]["nll_before"]),
        "nll_after": wording.decimal(model["calibration"]["nll_after"]),
        "mixture": wording.class_prior_note(model["recipe"]),
        "pixels": wording.format_value(model["preprocessing"]["image_size"]),
    }


def _title_case(name: str) -> str:
    return name.replace("_", " ")
