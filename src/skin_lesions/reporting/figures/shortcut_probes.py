"""Shortcut probes: how well each shortcut alone predicts the class."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.data.sources.base import is_synthetic
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BLUE,
    GRAY,
    INK,
    SMALL,
    VERMILLION,
    class_name,
    titled_figure,
)

_ROW, _PANEL_MARGIN = 0.29, 0.42  # inches: height of a probe; heading and space of a panel
_AXIS = 0.5  # inches, for the axis below the last panel
_MAX_PANELS = 6

Row = Mapping[str, Any]


def draw_shortcut_probes(audit_findings: Mapping[str, Any], image_table: pd.DataFrame) -> Figure:
    """Draw the balanced accuracy of each probe with its interval, and chance.

    There is one panel for all images and one for each source or direction between sources, at most
    six. Probes without a result are left out.

    Args:
        audit_findings: Content of ``audit_findings.json``; ``shortcut_probes`` lists the probes.
        image_table: Its attributes record whether the images are synthetic.
    """
    probes = audit_findings["shortcut_probes"]
    done = [p for p in probes if p["balanced_accuracy"]["value"] is not None]
    panels = [(scope, list(rows)) for scope, rows in groupby(done, key=lambda p: str(p["scope"]))]
    displayed, more = panels[:_MAX_PANELS], len(panels) - _MAX_PANELS
    heights = [_ROW * len(rows) for _, rows in displayed]
    with titled_figure(
        (10.0, sum(heights) + _PANEL_MARGIN * len(displayed) + _AXIS),
        titles.shortcuts(probes),
        note="Each row: a simple classifier with only this input, cross-validated by lesion and "
        "patient, with 95 % interval. Dashed: chance. Orange: the interval is above chance. Gray "
        "bar: maximum that the number of different values allows. A missing value of a column "
        "counts as a value."
        + (f" {more} more panels are in audit_findings.json." if more > 0 else ""),
        synthetic=is_synthetic(image_table),
    ) as figure:
        if displayed:
            grid = figure.subplots(
                len(displayed), 1, sharex=True, squeeze=False, height_ratios=heights
            )
            for axes, (scope, rows) in zip(grid[:, 0], displayed, strict=True):
                _draw(axes, scope, rows)
            grid[-1, 0].set_xlabel("balanced accuracy")
    return figure


def _draw(axes: Axes, scope: str, rows: list[Row]) -> None:
    chance, n = rows[0]["chance"], rows[0]["balanced_accuracy"]["n"]
    scope_name = "All images" if scope == "all" else class_name(scope[0].upper() + scope[1:])
    axes.set_title(f"{scope_name}: {rows[0]['classes']} classes, n {n:,}, chance {chance:.3f}")
    axes.axvline(chance, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    for y, row in enumerate(rows):
        accuracy = row["balanced_accuracy"]
        color = VERMILLION if (accuracy["low"] or 0.0) > chance else BLUE
        if row["ceiling"] < 1:
            axes.plot(row["ceiling"], y, "|", color=GRAY, markersize=11, markeredgewidth=1.6)
        if accuracy["low"] is not None:
            axes.hlines(
                y, accuracy["low"], accuracy["high"], color=color, linewidth=2.4, alpha=0.55
            )
        axes.plot(accuracy["value"], y, "o", color=color, markersize=6.5, clip_on=False)
    axes.set_yticks(range(len(rows)), [class_name(_input_name(row)) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_format_accuracy(row["balanced_accuracy"]) for row in rows])
    right.tick_params(length=0, labelcolor=INK, labelsize=SMALL)
    right.spines[:].set_visible(False)


def _input_name(row: Row) -> str:
    return f"column {row['name']}" if row["kind"] == "column" else str(row["name"])


def _format_accuracy(accuracy: Mapping[str, Any]) -> str:
    if accuracy["low"] is None:
        return f"{accuracy['value']:.3f}"
    return f"{accuracy['value']:.3f} [{accuracy['low']:.3f} to {accuracy['high']:.3f}]"
