"""Recall of each class on the test images."""

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


def draw_per_class_recall(metrics: dict[str, Any]) -> Figure:
    """Draw the recall of each class on the test images, with its 95 % interval."""
    test = metrics["test"]
    per_class = test["per_class"]
    order = titles.by_recall(per_class)
    note = (
        "Fraction of the test images of a class that are predicted correctly, with 95 % interval."
    )
    if any(map(is_malignant, order)):
        note += " Red diamonds: malignant classes."
    with titled_figure(
        (10.0, ROW_HEIGHT * len(order) + 0.75),
        titles.recall(metrics),
        note=note,
        synthetic=metrics["provenance"]["synthetic_images"],
    ) as figure:
        axes = figure.subplots()
        for row, label in enumerate(order):
            _draw_recall(axes, row, label, per_class[label]["recall"])
        _draw_mean(axes, test["balanced_accuracy"]["value"])
        rows_axis(axes, order)
        axes.set_xlim(-0.015, 1.015)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        write_beside_rows(axes, [_format_recall(per_class[label]) for label in order])
    return figure


def _draw_recall(axes: Axes, row: int, label: str, recall: dict[str, Any]) -> None:
    if recall["value"] is None:
        axes.text(
            0.0, row, "no test images", va="center", color=GRAY, style="italic", fontsize=SMALL
        )
        return
    color, marker = (VERMILLION, "D") if is_malignant(label) else (BLUE, "o")
    if recall["low"] is not None:
        axes.hlines(row, recall["low"], recall["high"], color=color, linewidth=2.4, alpha=0.55)
    axes.plot(recall["value"], row, marker, color=color, markersize=7, clip_on=False)


def _draw_mean(axes: Axes, mean: float | None) -> None:
    if mean is None:
        return
    axes.axvline(mean, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    axes.annotate(
        f"balanced accuracy (mean of the classes): {titles.whole_percent(mean)}",
        (mean, 0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -22),
        textcoords="offset points",
        ha="right" if mean > 0.6 else "left",
        va="top",
        fontsize=SMALL,
        color=GRAY,
    )


def _format_recall(row: dict[str, Any]) -> str:
    recall = row["recall"]
    if recall["value"] is None:
        return "n 0"
    text = f"{titles.whole_percent(recall['value'])}, {row['correct']:,} of {row['support']:,}"
    if recall["low"] is None:
        return text
    return f"{text} [{100 * recall['low']:.0f} to {100 * recall['high']:.0f}]"
