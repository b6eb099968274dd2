"""Number of files of each class in each split."""

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

# Ratio of the largest to the smallest class. Above it, bars of small classes are invisible, so
# dots on a logarithmic axis are drawn instead.
_MAX_LINEAR_RATIO = 50


def draw_class_counts(image_table: pd.DataFrame, split_table: pd.DataFrame) -> Figure:
    """Draw the number of files of each class in each split, and of unused files.

    The figure has bars from zero. If the largest class is more than 50 times the smallest, it has
    dots on a logarithmic axis.
    """
    counts = file_counts_by_split(image_table, split_table)
    totals = counts.sum(axis=1)
    logarithmic = bool(totals.max() > _MAX_LINEAR_RATIO * totals.min())
    note = "Not used: duplicates and images with a label conflict, which the split excludes."
    with titled_figure(
        (10.0, ROW_HEIGHT * len(counts) + 0.85),
        titles.class_counts(image_table),
        note=note if "not used" in counts else "",
        synthetic=is_synthetic(image_table),
    ) as figure:
        axes = figure.subplots()
        (_draw_dots if logarithmic else _draw_bars)(axes, counts)
        rows_axis(axes, counts.index.tolist())
        axes.set_xlabel("files, logarithmic axis" if logarithmic else "files")
        axes.grid(axis="x")
        write_beside_rows(axes, [f"n {total:,}" for total in totals])
        figure.legend(loc="outside lower left", ncols=len(counts.columns))
    return figure


def file_counts_by_split(image_table: pd.DataFrame, split_table: pd.DataFrame) -> pd.DataFrame:
    """Count files by class and split.

    Returns:
        One row per class, the largest first; columns train, val, test, not used. Columns without
        files are left out.
    """
    split = image_table["file"].map(split_table.set_index("file")["split"]).fillna("not used")
    counts = pd.crosstab(image_table["label"], split)
    counts = counts.reindex(columns=list(SPLIT_COLORS), fill_value=0)
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return counts.loc[order, counts.any()]


def _draw_bars(axes: Axes, counts: pd.DataFrame) -> None:
    rows, left = np.arange(len(counts)), np.zeros(len(counts))
    for split in counts:
        values = counts[split].to_numpy()
        axes.barh(rows, values, 0.68, left=left, color=SPLIT_COLORS[str(split)], label=split)
        left += values


def _draw_dots(axes: Axes, counts: pd.DataFrame) -> None:
    rows = np.arange(len(counts))
    for i, split in enumerate(counts):
        present = counts[split].to_numpy() > 0
        axes.plot(
            counts[split].to_numpy()[present],
            rows[present] + 0.15 * (i - (len(counts.columns) - 1) / 2),
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
