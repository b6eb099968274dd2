"""Recall by class."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BLUE,
    GRAY,
    ROW_HEIGHT,
    SMALL,
    VERMILLION,
    is_malignant,
    percent_axis,
    rows_axis,
    titled_figure,
    write_beside_rows,
)


def per_class_recall(metrics: dict[str, Any]) -> Figure:
    """Draw the share of each class's test images that is found, with its 95 % interval."""
    part = metrics["test"]
    per_class = part["per_class"]
    order = titles.by_recall(per_class)
    note = "Share of a class's test images that the model names right, with its 95 % interval."
    if any(map(is_malignant, order)):
        note += " Red diamonds: malignant."
    with titled_figure(
        (10.0, ROW_HEIGHT * len(order) + 0.75),
        titles.recall(metrics),
        note=note,
        synthetic=metrics["provenance"]["synthetic_images"],
    ) as figure:
        axes = figure.subplots()
        for row, label in enumerate(order):
            _draw_recall(axes, row, label, per_class[label]["recall"])
        _draw_mean(axes, part["balanced_accuracy"]["value"])
        rows_axis(axes, order)
        axes.set_xlim(-0.015, 1.015)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        write_beside_rows(axes, [_recall_words(per_class[label]) for label in order])
    return figure


def _draw_recall(axes: Axes, row: int, label: str, recall: dict[str, Any]) -> None:
    if recall["value"] is None:
        axes.text(
            0.0, row, "no test images", va="center", color=GRAY, style="italic", fontsize=SMALL
        )
        return
    colour, marker = (VERMILLION, "D") if is_malignant(label) else (BLUE, "o")
    if recall["low"] is not None:
        axes.hlines(row, recall["low"], recall["high"], color=colour, linewidth=2.4, alpha=0.55)
    axes.plot(recall["value"], row, marker, color=colour, markersize=7, clip_on=False)


def _draw_mean(axes: Axes, mean: float | None) -> None:
    if mean is None:
        return
    axes.axvline(mean, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    axes.annotate(
        f"mean of the classes (balanced accuracy) {titles.percent(mean)}",
        (mean, 0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -22),
        textcoords="offset points",
        ha="right" if mean > 0.6 else "left",
        va="top",
        fontsize=SMALL,
        color=GRAY,
    )


def _recall_words(row: dict[str, Any]) -> str:
    recall = row["recall"]
    if recall["value"] is None:
        return "n 0"
    words = f"{titles.percent(recall['value'])}, {row['correct']:,} of {row['support']:,}"
    if recall["low"] is None:
        return words
    return f"{words} [{100 * recall['low']:.0f} to {100 * recall['high']:.0f}]"
