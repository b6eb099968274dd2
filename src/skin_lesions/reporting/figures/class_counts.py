"""One row per class: how often it is found, and how many images it has."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BLUE,
    GREY,
    INK,
    SMALL,
    SPLIT_COLOURS,
    VERMILLION,
    is_generated,
    is_malignant,
    percent_axis,
    rows_axis,
    sheet,
)

_ROW = 0.31  # inches
# Beyond this, bars of the small classes can't be seen, and dots on a logarithmic axis say more.
_STEEP = 50


def per_class_recall(metrics: dict[str, Any]) -> Figure:
    """Draw the share of each class's test images that is found, with its 95 % interval."""
    part = metrics["test"]
    per_class = part["per_class"]
    order = titles.by_recall(per_class)
    note = "Share of a class's test images that the model names right, with its 95 % interval."
    if any(map(is_malignant, order)):
        note += " Red diamonds: malignant."
    with sheet(
        (10.0, _ROW * len(order) + 0.75),
        titles.recall(metrics),
        note=note,
        generated=metrics["provenance"]["generated_images"],
    ) as figure:
        axes = figure.subplots()
        for row, label in enumerate(order):
            _draw_recall(axes, row, label, per_class[label]["recall"])
        _draw_mean(axes, part["balanced_accuracy"]["value"])
        rows_axis(axes, order)
        axes.set_xlim(-0.015, 1.015)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        _write_right(axes, [_recall_words(per_class[label]) for label in order])
    return figure


def _draw_recall(axes: Axes, row: int, label: str, recall: dict[str, Any]) -> None:
    if recall["value"] is None:
        axes.text(
            0.0, row, "no test images", va="center", color=GREY, style="italic", fontsize=SMALL
        )
        return
    colour, marker = (VERMILLION, "D") if is_malignant(label) else (BLUE, "o")
    if recall["low"] is not None:
        axes.hlines(row, recall["low"], recall["high"], color=colour, linewidth=2.4, alpha=0.55)
    axes.plot(recall["value"], row, marker, color=colour, markersize=7, clip_on=False)


def _draw_mean(axes: Axes, mean: float | None) -> None:
    if mean is None:
        return
    axes.axvline(mean, color=GREY, linewidth=1, linestyle="--", zorder=1)
    axes.annotate(
        f"mean of the classes (balanced accuracy) {titles.percent(mean)}",
        (mean, 0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -22),
        textcoords="offset points",
        ha="right" if mean > 0.6 else "left",
        va="top",
        fontsize=SMALL,
        color=GREY,
    )


def _recall_words(row: dict[str, Any]) -> str:
    recall = row["recall"]
    if recall["value"] is None:
        return "n 0"
    words = f"{titles.percent(recall['value'])}, {row['correct']:,} of {row['support']:,}"
    if recall["low"] is None:
        return words
    return f"{words} [{100 * recall['low']:.0f} to {100 * recall['high']:.0f}]"


def _write_right(axes: Axes, words: list[str]) -> None:
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(words)), words)
    right.tick_params(length=0, labelcolor=INK)
    right.spines[:].set_visible(False)


def class_counts(image_table: pd.DataFrame, split_table: pd.DataFrame) -> Figure:
    """Draw how many files of each class are in each split, and how many are not used.

    Bars from zero; where the largest class is more than 50 times the smallest, dots on a
    logarithmic axis.
    """
    counts = counts_by_split(image_table, split_table)
    totals = counts.sum(axis=1)
    steep = bool(totals.max() > _STEEP * totals.min())
    note = "Not used: copies, and images under two labels, that the split left out."
    with sheet(
        (10.0, _ROW * len(counts) + 0.85),
        titles.class_counts(image_table),
        note=note if "not used" in counts else "",
        generated=is_generated(image_table),
    ) as figure:
        axes = figure.subplots()
        (_draw_dots if steep else _draw_bars)(axes, counts)
        rows_axis(axes, counts.index.tolist())
        axes.set_xlabel("files, logarithmic axis" if steep else "files")
        axes.grid(axis="x")
        _write_right(axes, [f"n {total:,}" for total in totals])
        figure.legend(loc="outside lower left", ncols=len(counts.columns))
    return figure


def counts_by_split(image_table: pd.DataFrame, split_table: pd.DataFrame) -> pd.DataFrame:
    """Count files: a row per class, the largest first; columns train, val, test, not used.

    A column that counts nothing at all is left out.
    """
    split = image_table["file"].map(split_table.set_index("file")["split"]).fillna("not used")
    counts = pd.crosstab(image_table["label"], split)
    counts = counts.reindex(columns=list(SPLIT_COLOURS), fill_value=0)
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return counts.loc[order, counts.any()]


def _draw_bars(axes: Axes, counts: pd.DataFrame) -> None:
    places, start = np.arange(len(counts)), np.zeros(len(counts))
    for split in counts:
        values = counts[split].to_numpy()
        axes.barh(places, values, 0.68, left=start, color=SPLIT_COLOURS[str(split)], label=split)
        start += values


def _draw_dots(axes: Axes, counts: pd.DataFrame) -> None:
    places = np.arange(len(counts))
    for i, split in enumerate(counts):
        there = counts[split].to_numpy() > 0
        axes.plot(
            counts[split].to_numpy()[there],
            places[there] + 0.15 * (i - (len(counts.columns) - 1) / 2),
            "osD^"[i],
            color=SPLIT_COLOURS[str(split)],
            markeredgecolor=INK,
            markeredgewidth=0.4,
            markersize=6,
            label=split,
        )
    axes.set_xscale("log")
    axes.set_xlim(left=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
