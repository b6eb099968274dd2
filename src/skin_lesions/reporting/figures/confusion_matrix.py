"""Confusion matrix of the test images."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.metrics.intervals import FEW_IMAGES
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    BODY,
    CORRECT,
    GRAY,
    SMALL,
    WRONG,
    add_legend,
    class_name,
    malignant_names,
    mark_malignant,
    name_width,
    text_color_on,
    titled_figure,
)
from skin_lesions.reporting.formatting import whole_percent

# From no images to all images of the row.
CORRECT_COLORS = LinearSegmentedColormap.from_list("correct", ["#FFFFFF", CORRECT, "#00543D"])
WRONG_COLORS = LinearSegmentedColormap.from_list("wrong", ["#FFFFFF", WRONG, "#7A2F58"])

_SIDE_MARGINS = 0.95  # inches, left of the class names and right of the matrix


def draw_confusion_matrix(metrics: Scorecard) -> Figure:
    """Draw counts and row fractions of the test images; rows are labels, columns predictions.

    Correct predictions and errors have different colors. A darker color means a larger fraction of
    the row. Cells without images are empty.
    """
    classes = metrics.test.confusion.classes
    malignant = metrics.test.malignant.classes
    # counts and fractions: (classes, classes); totals: (classes, 1), images of each label.
    counts = np.array(metrics.test.confusion.counts)
    totals = counts.sum(axis=1, keepdims=True)
    fractions = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = name_width([class_name(label) for label in classes])
    # Width of a cell in inches, so that the figure is about 10 inches wide.
    cell = float(np.clip((10.0 - _SIDE_MARGINS - names) / len(classes), 0.4, 1.6))
    note = "Each cell: images and percentage of the row. Darker: a larger percentage."
    if (totals < FEW_IMAGES).any():
        note += f" * Fewer than {FEW_IMAGES} images: the percentages are uncertain."
    with titled_figure(
        _figure_size(len(classes), cell, names),
        title(metrics, figure_name),
        note=note,
        synthetic=metrics.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        _color_cells(axes, fractions)
        _write_cells(axes, counts, fractions, cell)
        _label_axes(axes, classes, malignant, totals[:, 0], cell)
        legend = [Patch(color=CORRECT, label="correct"), Patch(color=WRONG, label="error")]
        add_legend(figure, [*legend, *malignant_names(malignant)])
    return figure


def title(metrics: Scorecard, name: Callable[[str], str] = str) -> str:
    """State the accuracy and the most frequent error; ``name`` formats the class names."""
    classes = metrics.test.confusion.classes
    counts = np.array(metrics.test.confusion.counts)  # (classes, classes); rows are labels
    n, correct = int(counts.sum()), int(np.trace(counts))
    start = f"Test: {whole_percent(correct / n)} correct ({correct:,} of {n:,})"
    errors = counts - np.diag(np.diag(counts))
    if correct == n:
        return start
    true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
    return (
        f"{start}. Most frequent error: {name(classes[true])} predicted as "
        f"{name(classes[predicted])} ({errors[true, predicted]:,} of {counts[true].sum():,})"
    )


def _figure_size(classes: int, cell: float, names: float) -> tuple[float, float]:
    # The names below the matrix are horizontal if they fit, and otherwise at 45 degrees (0.72).
    below = 1.0 + (0.1 if names < 0.95 * cell else 0.72 * names)
    return max(6.5, names + cell * classes + _SIDE_MARGINS), min(cell, 0.8) * classes + below


def _color_cells(axes: Axes, fractions: npt.NDArray[np.float64]) -> None:
    diagonal = np.eye(len(fractions), dtype=bool)
    colors = np.where(diagonal[..., None], CORRECT_COLORS(fractions), WRONG_COLORS(fractions))
    axes.imshow(colors, aspect="auto", interpolation="nearest")
    edges = np.arange(len(fractions) + 1) - 0.5
    axes.vlines(edges, -0.5, len(fractions) - 0.5, color="#E1E4E8", linewidth=0.6)
    axes.hlines(edges, -0.5, len(fractions) - 0.5, color="#E1E4E8", linewidth=0.6)
    axes.spines[:].set_visible(False)


def _write_cells(
    axes: Axes, counts: npt.NDArray[np.int_], fractions: npt.NDArray[np.float64], cell: float
) -> None:
    count_size, fraction_size = _font_sizes(cell, int(counts.max()))
    for row, column in np.argwhere(counts):
        colors = CORRECT_COLORS if row == column else WRONG_COLORS
        fraction = float(fractions[row, column])
        ink = text_color_on(colors(fraction))
        for text, offset, va, size in (
            (f"{counts[row, column]:,}", -1, "bottom", count_size),
            (whole_percent(fraction), -2, "top", fraction_size),
        ):
            axes.annotate(
                text,
                (column, row),
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                va=va,
                fontsize=size,
                color=ink,
                in_layout=False,  # the text fits its cell; a layout check takes seconds
            )


def _font_sizes(cell: float, largest: int) -> tuple[float, float]:
    """Return the font sizes of counts and fractions that fit a cell of this width (inches)."""
    points = 72 * cell * 0.92  # usable width of the cell
    # A digit is about 0.64 times as wide as its font size.
    digits = max(2, len(f"{largest:,}"))
    large = min(BODY + 2, points / 2.6, points / (0.64 * digits))
    return large, min(large, SMALL, points / 3.3)


def _label_axes(
    axes: Axes,
    classes: Sequence[str],
    malignant: Collection[str],
    totals: npt.NDArray[np.int_],
    cell: float,
) -> None:
    names = [class_name(label) for label in classes]
    ticks = range(len(names))
    axes.set_yticks(ticks, names)
    if name_width(names) < 0.95 * cell:
        axes.set_xticks(ticks, names)
    else:
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("label", color=GRAY)
    axes.set_xlabel("predicted", color=GRAY)
    axes.tick_params(length=0)
    mark_malignant(axes, classes, malignant)
    mark_malignant(axes, classes, malignant, axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(ticks, [f"n {n:,}{'*' if n < FEW_IMAGES else ''}" for n in totals])
    right.tick_params(length=0, labelcolor=GRAY)
    right.spines[:].set_visible(False)


FIGURE = FigureSpec(
    name="confusion_matrix",
    heading="Confusion matrix",
    inputs=("metrics",),
    draw=draw_confusion_matrix,
    alt_text=lambda inputs: title(inputs.metrics),
    section="errors",
)
