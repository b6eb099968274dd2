"""What a model could cheat with: how well each such thing alone tells the class."""

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

_ROW, _AROUND = 0.29, 0.42  # inches: a probe; heading and space of a panel
_AXIS = 0.5  # inches, below the last panel
_MOST_PANELS = 6

Row = Mapping[str, Any]


def shortcut_probes(audit_findings: Mapping[str, Any], image_table: pd.DataFrame) -> Figure:
    """Draw the balanced accuracy of each probe with its interval, beside chance.

    One panel for all images, one for each source or direction between sources; at most six. What
    could not be probed is left out.

    Args:
        audit_findings: As ``audit_findings.json`` holds them; ``shortcuts`` lists the probes.
        image_table: Tells whether the images are generated.
    """
    probes = audit_findings["shortcut_probes"]
    done = [p for p in probes if p["balanced_accuracy"]["value"] is not None]
    panels = [(scope, list(rows)) for scope, rows in groupby(done, key=lambda p: str(p["scope"]))]
    shown, more = panels[:_MOST_PANELS], len(panels) - _MOST_PANELS
    heights = [_ROW * len(rows) for _, rows in shown]
    with titled_figure(
        (10.0, sum(heights) + _AROUND * len(shown) + _AXIS),
        titles.shortcuts(probes),
        note="Each row: a simple classifier that sees this one thing only, cross-validated over lesions "
        "and patients, with its 95 % interval. Dashed: chance. Orange: the interval lies above it. "
        "Grey bar: the most that so few different values could reach. A column's values include \"not "
        'known".' + (f" {more} more panels stand in audit_findings.json." if more > 0 else ""),
        synthetic=is_synthetic(image_table),
    ) as figure:
        if shown:
            grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights)
            for axes, (scope, rows) in zip(grid[:, 0], shown, strict=True):
                _draw(axes, scope, rows)
            grid[-1, 0].set_xlabel("balanced accuracy")
    return figure


def _draw(axes: Axes, scope: str, rows: list[Row]) -> None:
    chance, n = rows[0]["chance"], rows[0]["balanced_accuracy"]["n"]
    where = "All images" if scope == "all" else class_name(scope[0].upper() + scope[1:])
    axes.set_title(f"{where}: {rows[0]['classes']} classes, n {n:,}, chance {chance:.3f}")
    axes.axvline(chance, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    for place, row in enumerate(rows):
        accuracy = row["balanced_accuracy"]
        colour = VERMILLION if (accuracy["low"] or 0.0) > chance else BLUE
        if row["ceiling"] < 1:
            axes.plot(row["ceiling"], place, "|", color=GRAY, markersize=11, markeredgewidth=1.6)
        if accuracy["low"] is not None:
            axes.hlines(
                place, accuracy["low"], accuracy["high"], color=colour, linewidth=2.4, alpha=0.55
            )
        axes.plot(accuracy["value"], place, "o", color=colour, markersize=6.5, clip_on=False)
    axes.set_yticks(range(len(rows)), [class_name(_named(row)) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), [_words(row["balanced_accuracy"]) for row in rows])
    right.tick_params(length=0, labelcolor=INK, labelsize=SMALL)
    right.spines[:].set_visible(False)


def _named(row: Row) -> str:
    return f"column {row['name']}" if row["kind"] == "column" else str(row["name"])


def _words(accuracy: Mapping[str, Any]) -> str:
    if accuracy["low"] is None:
        return f"{accuracy['value']:.3f}"
    return f"{accuracy['value']:.3f} [{accuracy['low']:.3f} to {accuracy['high']:.3f}]"
