"""Number of files of each class in each split."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    INK,
    ROW_HEIGHT,
    SPLIT_COLORS,
    add_legend,
    class_name,
    malignant_names,
    mark_malignant,
    rows_axis,
    titled_figure,
    write_beside_rows,
)

# Ratio of the largest to the smallest class. Above it, bars of small classes are invisible, so
# dots on a logarithmic axis are drawn instead.
_MAX_LINEAR_RATIO = 50


def draw_class_counts(
    image_table: ImageTable, split_table: SplitTable, malignancy: MalignancyResults
) -> Figure:
    """Draw the number of files of each class in each split, and of unused files.

    The figure has bars from zero. If the largest class is more than 50 times the smallest, it has
    dots on a logarithmic axis.
    """
    counts = file_counts_by_split(image_table.frame, split_table.frame)
    totals = counts.sum(axis=1)
    note = "Not used: duplicates and images with a label conflict, which the split excludes."
    with titled_figure(
        (10.0, ROW_HEIGHT * len(counts) + 0.85),
        title(image_table, figure_name),
        note=note if "not used" in counts else "",
        synthetic=image_table.provenance.origin.is_synthetic,
    ) as figure:
        axes = figure.subplots()
        if totals.max() > _MAX_LINEAR_RATIO * totals.min():
            _draw_dots(axes, counts)
            axes.set_xlabel("files, logarithmic axis")
        else:
            _draw_bars(axes, counts)
            axes.set_xlabel("files")
        labels = counts.index.tolist()
        malignant = [label for label in labels if label in malignancy.malignant_classes]
        rows_axis(axes, list(map(class_name, labels)))
        mark_malignant(axes, labels, malignant)
        axes.grid(axis="x")
        write_beside_rows(axes, [f"n {total:,}" for total in totals])
        splits = axes.get_legend_handles_labels()[0]
        add_legend(figure, [*splits, *malignant_names(malignant)])
    return figure


def title(image_table: ImageTable, name: Callable[[str], str] = str) -> str:
    """Name the largest and the smallest class; ``name`` formats the class names."""
    counts = image_table.frame["label"].value_counts().sort_index(kind="stable")
    counts = counts.sort_values(ascending=False, kind="stable")
    most, fewest = int(counts.iloc[0]), int(counts.iloc[-1])
    start = f"{len(counts)} classes, {counts.sum():,} files"
    if most == fewest:
        return f"{start}: {most:,} of each class"
    return (
        f"{start}: {name(counts.index[0])} has the most ({most:,}), "
        f"{name(counts.index[-1])} the fewest ({fewest:,})"
    )


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


FIGURE = FigureSpec(
    name="class_counts",
    heading="Images per class and split",
    inputs=("image_table", "split_table", "malignancy"),
    draw=draw_class_counts,
    alt_text=lambda inputs: title(inputs.image_table),
    section="data",
)
