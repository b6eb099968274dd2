"""Subgroups: balanced accuracy of each slice of the test images, as a forest plot."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.slices import Slice, SliceColumn, SliceResults
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    SMALL,
    TEST,
    add_legend,
    few_images_point,
    percent_axis,
    point,
    rows_axis,
    short_text,
    titled_figure,
    write_beside_rows,
)
from skin_lesions.reporting.formatting import NBSP, whole_percent

_ROW, _PANEL_MARGIN = 0.29, 0.42  # inches: height of a slice; heading and space of a panel
_AXIS = 0.85  # inches, for the axis below the last panel and the legend
_MAX_PANELS = 8


def draw_subgroups(slices: SliceResults) -> Figure:
    """Draw the balanced accuracy of each slice with its 95 % interval, one panel for each column.

    At most eight columns are drawn: those with the largest gaps.
    """
    ranked = sorted(slices.columns, key=lambda column: -_largest_difference(column))
    displayed = [column for column in slices.columns if column in ranked[:_MAX_PANELS]]
    heights = [_ROW * len(column.slices) for column in displayed]
    note = (
        "Mean recall of the classes that have images in the slice, with 95 % interval. Slices have "
        "different classes: compare them by the gaps in slices.json, which use common classes. "
        f"Slices of fewer than {slices.min_images} images have no result."
    )
    if len(ranked) > _MAX_PANELS:
        note += f" {len(ranked) - _MAX_PANELS} more columns are in slices.json."
    with titled_figure(
        (10.0, sum(heights) + _PANEL_MARGIN * len(displayed) + _AXIS),
        title(slices),
        note=note,
        synthetic=slices.provenance.synthetic_images,
    ) as figure:
        if displayed:
            grid = figure.subplots(
                len(displayed), 1, sharex=True, squeeze=False, height_ratios=heights
            )
            for axes, column in zip(grid[:, 0], displayed, strict=True):
                _draw(axes, column)
            grid[-1, 0].set_xlabel("balanced accuracy")
            legend = [point(TEST, "slice of the test images")]
            drawn = [entry for column in displayed for entry in column.slices]
            if any(e.n < FEW_IMAGES and e.balanced_accuracy.value is not None for e in drawn):
                legend.append(few_images_point())
            add_legend(figure, legend)
    return figure


def title(slices: SliceResults) -> str:
    """Name the largest gap that is above 0 after the correction, or state that none is."""
    gaps = [(column.column, gap) for column in slices.columns for gap in column.gaps]
    if not gaps:
        return "Test: no two subgroups can be compared"
    shown = [(name, gap) for name, gap in gaps if gap.is_shown]
    if not shown:
        return (
            "Test: no gap between subgroups is distinguishable from 0 (corrected for "
            f"{pluralize(len(gaps), 'comparison')})"
        )
    name, gap = max(shown, key=lambda entry: entry[1].difference.value or 0.0)
    return (
        f"Test: gaps between subgroups that are above 0 (corrected): {len(shown)} of {len(gaps)}. "
        f"Largest: {short_text(name)}, {short_text(gap.higher)} {whole_percent(gap.of_higher)}, "
        f"{short_text(gap.lower)} {whole_percent(gap.of_lower)} over "
        f"{len(gap.classes)} common {'class' if len(gap.classes) == 1 else 'classes'}"
    )


def _largest_difference(column: SliceColumn) -> float:
    return max((gap.difference.value or 0.0 for gap in column.gaps), default=-1.0)


def _draw(axes: Axes, column: SliceColumn) -> None:
    axes.set_title(short_text(column.column))
    for row, entry in enumerate(column.slices):
        estimate = entry.balanced_accuracy
        if estimate.value is None:
            axes.text(0.0, row, "too few images", va="center", color=GRAY, fontsize=SMALL)
            continue
        if estimate.low is not None and estimate.high is not None:
            axes.hlines(row, estimate.low, estimate.high, color=TEST, linewidth=2.4, alpha=0.55)
        face = "white" if entry.n < FEW_IMAGES else TEST
        axes.plot(
            estimate.value,
            row,
            "o",
            color=TEST,
            markerfacecolor=face,
            markersize=6.5,
            clip_on=False,
        )
    rows_axis(axes, [short_text(entry.value) for entry in column.slices])
    axes.set_xlim(-0.01, 1.01)
    percent_axis(axes.xaxis)
    axes.grid(axis="x")
    write_beside_rows(axes, [_text(entry) for entry in column.slices])


def _text(entry: Slice) -> str:
    counts = f"n{NBSP}{entry.n:,}, {entry.classes_evaluated}{NBSP}classes"
    return f"{_percentages(entry.balanced_accuracy)}{counts}"


def _percentages(estimate: Estimate) -> str:
    if estimate.value is None:
        return ""
    text = whole_percent(estimate.value)
    if estimate.low is None or estimate.high is None:
        return f"{text}, "
    return f"{text} [{100 * estimate.low:.0f} to {100 * estimate.high:.0f}], "


FIGURE = FigureSpec(
    name="subgroups",
    heading="Balanced accuracy of subgroups",
    inputs=("slices",),
    draw=draw_subgroups,
    section="subgroups",
    alt_text=lambda inputs: title(inputs.slices),
)
