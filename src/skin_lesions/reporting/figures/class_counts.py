"""One row per class: how often it is found, and how many images it has."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.data.sources.base import is_synthetic
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    INK,
    ROW_HEIGHT,
    SPLIT_COLORS,
    rows_axis,
    titled_figure,
    write_beside_rows,
)

# Beyond this, bars of the small classes can't be seen, and dots on a logarithmic axis say more.
_STEEP = 50


def class_counts(image_table: pd.DataFrame, split_table: pd.DataFrame) -> Figure:
    """Draw how many files of each class are in each split, and how many are not used.

    Bars from zero; where the largest class is more than 50 times the smallest, dots on a
    logarithmic axis.
    """
    counts = counts_by_split(image_table, split_table)
    totals = counts.sum(axis=1)
    steep = bool(totals.max() > _STEEP * totals.min())
    note = "Not used: copies, and images under two labels, that the split left out."
    with titled_figure(
        (10.0, ROW_HEIGHT * len(counts) + 0.85),
        titles.class_counts(image_table),
        note=note if "not used" in counts else "",
        synthetic=is_synthetic(image_table),
    ) as figure:
        axes = figure.subplots()
        (_draw_dots if steep else _draw_bars)(axes, counts)
        rows_axis(axes, counts.index.tolist())
        axes.set_xlabel("files, logarithmic axis" if steep else "files")
        axes.grid(axis="x")
        write_beside_rows(axes, [f"n {total:,}" for total in totals])
        figure.legend(loc="outside lower left", ncols=len(counts.columns))
    return figure


def counts_by_split(image_table: pd.DataFrame, split_table: pd.DataFrame) -> pd.DataFrame:
    """Count files: a row per class, the largest first; columns train, val, test, not used.

    A column that counts nothing at all is left out.
    """
    split = image_table["file"].map(split_table.set_index("file")["split"]).fillna("not used")
    counts = pd.crosstab(image_table["label"], split)
    counts = counts.reindex(columns=list(SPLIT_COLORS), fill_value=0)
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return counts.loc[order, counts.any()]


def _draw_bars(axes: Axes, counts: pd.DataFrame) -> None:
    places, start = np.arange(len(counts)), np.zeros(len(counts))
    for split in counts:
        values = counts[split].to_numpy()
        axes.barh(places, values, 0.68, left=start, color=SPLIT_COLORS[str(split)], label=split)
        start += values


def _draw_dots(axes: Axes, counts: pd.DataFrame) -> None:
    places = np.arange(len(counts))
    for i, split in enumerate(counts):
        there = counts[split].to_numpy() > 0
        axes.plot(
            counts[split].to_numpy()[there],
            places[there] + 0.15 * (i - (len(counts.columns) - 1) / 2),
            "osD^"[i],
            color=SPLIT_COLORS[str(split)],
            markeredgecolor=INK,
            markeredgewidth=0.4,
            markersize=6,
            label=split,
        )
    axes.set_xscale("log")
    axes.set_xlim(left=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
