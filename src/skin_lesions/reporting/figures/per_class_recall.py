"""Recall of each class on the test images."""

from collections.abc import Callable, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.evaluation.scorecard import ClassMetrics, Scorecard
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    MALIGNANT,
    NOT_MALIGNANT,
    ROW_HEIGHT,
    SMALL,
    add_legend,
    class_name,
    few_images_point,
    mark_malignant,
    percent_axis,
    point,
    rows_axis,
    titled_figure,
    write_beside_rows,
)
from skin_lesions.reporting.formatting import NBSP, whole_percent


def draw_per_class_recall(metrics: Scorecard) -> Figure:
    """Draw the recall of each class on the test images, with its 95 % interval."""
    per_class = metrics.test.per_class
    order = _by_recall(per_class)
    malignant = metrics.test.malignant.classes
    with titled_figure(
        (10.0, ROW_HEIGHT * len(order) + 1.1),
        title(metrics, figure_name),
        note="Fraction of the test images of a class that are predicted correctly, with 95 % "
        "interval.",
        synthetic=metrics.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        for row, label in enumerate(order):
            _draw_recall(axes, row, per_class[label]["recall"], malignant=label in malignant)
        _draw_mean(axes, metrics.test["balanced_accuracy"].value)
        rows_axis(axes, list(map(class_name, order)))
        mark_malignant(axes, order, malignant)
        axes.set_xlim(-0.015, 1.015)
        percent_axis(axes.xaxis)
        axes.grid(axis="x")
        write_beside_rows(axes, [_with_interval(per_class[label]) for label in order])
        legend = []
        if malignant:
            other = "benign, premalignant or unknown"
            legend = [point(MALIGNANT, "malignant", "D"), point(NOT_MALIGNANT, other)]
        if any(0 < per_class[label]["recall"].n < FEW_IMAGES for label in order):
            legend.append(few_images_point())
        add_legend(figure, legend)
    return figure


def title(metrics: Scorecard, name: Callable[[str], str] = str) -> str:
    """Name the classes with the highest and the lowest recall; ``name`` formats the names."""
    per_class = metrics.test.per_class
    order = [
        label for label in _by_recall(per_class) if per_class[label]["recall"].value is not None
    ]
    if not order:
        return "Test: no class has test images"
    best, worst = per_class[order[0]], per_class[order[-1]]
    if worst["recall"].value == best["recall"].value:
        return f"Test: every class has the same recall ({_recall_text(best)})"
    return (
        f"Test: recall is highest for {name(order[0])} ({_recall_text(best)}) "
        f"and lowest for {name(order[-1])} ({_recall_text(worst)})"
    )


def _by_recall(per_class: Mapping[str, ClassMetrics]) -> list[str]:
    """Sort the classes by recall, highest first; ties by number of images, largest first.

    Classes without test images come last.
    """

    def key(label: str) -> tuple[float, int]:
        value = per_class[label]["recall"].value
        return (-1.0 if value is None else value, per_class[label].support)

    return sorted(per_class, key=key, reverse=True)


def _draw_recall(axes: Axes, row: int, recall: Estimate, *, malignant: bool) -> None:
    if recall.value is None:
        axes.text(
            0.0, row, "no test images", va="center", color=GRAY, style="italic", fontsize=SMALL
        )
        return
    color, marker = (MALIGNANT, "D") if malignant else (NOT_MALIGNANT, "o")
    face = "white" if recall.n < FEW_IMAGES else color
    if recall.low is not None and recall.high is not None:
        axes.hlines(row, recall.low, recall.high, color=color, linewidth=2.4, alpha=0.55)
    axes.plot(
        recall.value, row, marker, color=color, markerfacecolor=face, markersize=7, clip_on=False
    )


def _draw_mean(axes: Axes, mean: float | None) -> None:
    if mean is None:
        return
    axes.axvline(mean, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    axes.annotate(
        f"balanced accuracy (mean of the classes): {whole_percent(mean)}",
        (mean, 0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -22),
        textcoords="offset points",
        ha="right" if mean > 0.6 else "left",
        va="top",
        fontsize=SMALL,
        color=GRAY,
    )


def _recall_text(row: ClassMetrics) -> str:
    """Format recall and counts; the class has test images."""
    percentage = whole_percent(row["recall"].value or 0.0)
    return f"{percentage}, {row.correct:,}{NBSP}of{NBSP}{row.support:,}"


def _with_interval(row: ClassMetrics) -> str:
    recall = row["recall"]
    if recall.value is None:
        return "n 0"
    if recall.low is None or recall.high is None:
        return _recall_text(row)
    return f"{_recall_text(row)} [{100 * recall.low:.0f} to {100 * recall.high:.0f}]"


FIGURE = FigureSpec(
    name="per_class_recall",
    heading="Recall by class",
    inputs=("metrics",),
    draw=draw_per_class_recall,
    alt_text=lambda inputs: title(inputs.metrics),
    section="results",
)
