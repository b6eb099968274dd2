"""HTML report.

One file with all results, styles and figures. It opens offline and loads no other file.
"""

import base64
import struct
from collections.abc import Iterable
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.core.text import format_duration
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting import formatting
from skin_lesions.reporting.environment import render_template
from skin_lesions.reporting.figures import registry
from skin_lesions.reporting.figures.fonts import figure_code
from skin_lesions.reporting.figures.spec import FigureSpec, ReportInputs
from skin_lesions.reporting.shortcut_table import shortcut_rows

_MAX_QUARANTINE_ROWS = 50
_DOTS_PER_PIXEL = 1.5  # figures are saved at 150 dots per inch and displayed at 100


def render_report(
    metrics: Scorecard,
    model: TrainedModel,
    audit_findings: AuditFindings,
    split_table: SplitTable,
    quarantine: pd.DataFrame,
    training_history: pd.DataFrame,
    image_table: ImageTable,
    malignancy: MalignancyResults,
    slices: SliceResults,
    **figures: bytes,
) -> str:
    """Render one HTML document with embedded styles and figures.

    Class names, file names and reasons are untrusted input. All of them are escaped.

    Args:
        metrics: The metrics.
        model: The model; the weights are not used.
        audit_findings: The audit findings.
        split_table: One row per file used.
        quarantine: One row per unusable file; file and reason.
        training_history: One row per epoch.
        image_table: One row per readable file.
        malignancy: Results of malignant against benign.
        slices: Results of the subgroups.
        figures: PNG of each figure by its name in the registry, which also gives the order.
            Figures that are not given are left out.
    """
    inputs = ReportInputs(
        metrics=metrics,
        model=model,
        audit_findings=audit_findings,
        split_table=split_table,
        quarantine=quarantine,
        training_history=training_history,
        image_table=image_table,
        malignancy=malignancy,
        slices=slices,
    )
    specs = [spec for spec in registry.FIGURES if spec.name in figures]
    css = files("skin_lesions.reporting").joinpath("templates", "report.css")
    return render_template(
        "report.html.jinja",
        metrics=metrics,
        model=model,
        split_table=split_table,
        css=css.read_text(encoding="utf-8"),
        correct=sum(row.correct for row in metrics.test.per_class.values()),
        splits=_splits(split_table),
        audit=audit_findings,
        shortcut_rows=shortcut_rows(audit_findings.shortcut_probes),
        figure_codes=_figure_codes([*model.classes, *image_table.frame["label"].unique()]),
        figures=[_embed(spec, figures[spec.name], inputs) for spec in specs],
        malignant={label for label in model.classes if formatting.is_malignant(label)},
        quarantine=quarantine.head(_MAX_QUARANTINE_ROWS).astype(str).to_dict("records"),
        quarantined=len(quarantine),
        training=_training(training_history),
    )


class _Split(NamedTuple):
    name: str
    images: int
    groups: int
    classes: int


def _splits(split_table: SplitTable) -> list[_Split]:
    table = split_table.frame
    rows_by_split = {split: table[table["split"] == split] for split in formatting.SPLITS}
    return [
        _Split(
            name=formatting.SPLITS[split],
            images=len(rows),
            groups=rows["group_id"].nunique(),
            classes=rows["label"].nunique(),
        )
        for split, rows in rows_by_split.items()
    ]


def _figure_codes(labels: Iterable[str]) -> dict[str, str]:
    """Return the class name by the code that figures show for it."""
    codes = {figure_code(label): label for label in labels}
    return {code: label for code, label in codes.items() if code is not None}


class _EmbeddedFigure(NamedTuple):
    """A figure as base64 text, with its displayed size in pixels."""

    name: str
    heading: str
    alt: str
    data: str
    width: int
    height: int


def _embed(spec: FigureSpec, png: bytes, inputs: ReportInputs) -> _EmbeddedFigure:
    # Width and height in the PNG header (IHDR chunk).
    width, height = struct.unpack(">II", png[16:24])
    return _EmbeddedFigure(
        name=spec.name,
        heading=spec.heading,
        alt=spec.alt_text(inputs),
        data=base64.b64encode(png).decode("ascii"),
        width=round(width / _DOTS_PER_PIXEL),
        height=round(height / _DOTS_PER_PIXEL),
    )


class _Training(NamedTuple):
    epochs: int
    duration: str
    epoch_duration: str
    images_per_second: str


def _training(history: pd.DataFrame) -> _Training:
    seconds = float(history["seconds"].sum())
    return _Training(
        epochs=len(history),
        duration=format_duration(seconds),
        epoch_duration=format_duration(seconds / len(history)),
        images_per_second=f"{history['images_per_second'].median():,.0f}",
    )
