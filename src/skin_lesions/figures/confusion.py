"""The confusion matrix: what is taken for what."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from skin_lesions.figures import titles
from skin_lesions.figures.style import (
    BODY,
    GREY,
    INK,
    SMALL,
    class_name,
    is_malignant,
    mark_malignant,
    name_width,
    sheet,
)

_RIGHT = LinearSegmentedColormap.from_list("right", ["#FFFFFF", "#56A0CE", "#00507D"])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["#FFFFFF", "#F3B54A", "#C65A00"])


def confusion_matrix(metrics: dict[str, Any]) -> Figure:
    """Draw counts and row shares of the test images; rows are labels, columns predictions.

    Right ones are blue, wrong ones orange, the deeper the larger their share of the row. Cells
    without images are empty.
    """
    part = metrics["test"]["confusion"]
    counts, classes = np.array(part["counts"]), list(part["classes"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    cell = float(np.clip(6.9 / len(classes), 0.4, 1.8))
    note = "Each cell: images, and their share of the row. Blue: right. Orange: wrong."
    if any(map(is_malignant, classes)):
        note += " Names in red: malignant."
    with sheet(
        _size(classes, cell),
        titles.confusion(metrics),
        note=note,
        generated=metrics["provenance"]["generated_images"],
    ) as figure:
        axes = figure.subplots()
        _colour_cells(axes, shares)
        _write_cells(axes, counts, shares, cell)
        _name_axes(axes, classes, totals[:, 0], cell)
    return figure


def _size(classes: list[str], cell: float) -> tuple[float, float]:
    names = name_width([class_name(label) for label in classes])
    matrix = cell * len(classes)
    width = max(6.0, names + matrix + 1.3)
    return width, min(cell, 0.8) * len(classes) + 0.72 * names + 0.7


def _colour_cells(axes: Axes, shares: npt.NDArray[np.float64]) -> None:
    diagonal = np.eye(len(shares), dtype=bool)
    for colours, hidden in ((_RIGHT, ~diagonal), (_WRONG, diagonal)):
        axes.imshow(np.ma.array(shares, mask=hidden), cmap=colours, vmin=0, vmax=1, aspect="auto")
    edges = np.arange(len(shares) + 1) - 0.5
    axes.vlines(edges, -0.5, len(shares) - 0.5, color="#E1E4E8", linewidth=0.6)
    axes.hlines(edges, -0.5, len(shares) - 0.5, color="#E1E4E8", linewidth=0.6)
    axes.spines[:].set_visible(False)


def _write_cells(
    axes: Axes, counts: npt.NDArray[Any], shares: npt.NDArray[np.float64], cell: float
) -> None:
    large, small = _font_sizes(cell, int(counts.max()))
    for row, column in np.argwhere(counts):
        colours = _RIGHT if row == column else _WRONG
        share = float(shares[row, column])
        ink = _readable_on(colours(share)[:3])
        spot = {"xy": (column, row), "ha": "center", "color": ink, "textcoords": "offset points"}
        axes.annotate(
            f"{counts[row, column]:,}", xytext=(0, -1), va="bottom", fontsize=large, **spot
        )
        axes.annotate(titles.percent(share), xytext=(0, -2), va="top", fontsize=small, **spot)


def _font_sizes(cell: float, largest: int) -> tuple[float, float]:
    """Return the sizes of counts and shares, so that both fit a cell of this width."""
    points = 72 * cell * 0.92
    digits = max(2, len(f"{largest:,}"))
    large = min(BODY + 2, points / 2.6, points / (0.64 * digits))
    return large, min(large, SMALL, points / 3.3)


def _readable_on(background: tuple[float, ...]) -> str:
    """Return white or ink, whichever has the higher contrast (WCAG relative luminance)."""
    return "white" if 1.05 / (_luminance(background) + 0.05) > 4.5 else INK


def _luminance(colour: tuple[float, ...]) -> float:
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _name_axes(
    axes: Axes, classes: list[str], totals: npt.NDArray[Any], cell: float
) -> None:
    names = [class_name(label) for label in classes]
    places = range(len(names))
    axes.set_yticks(places, names)
    if name_width(names) < 0.95 * cell:
        axes.set_xticks(places, names)
    else:
        axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("label", color=GREY)
    axes.set_xlabel("predicted", color=GREY)
    axes.tick_params(length=0)
    mark_malignant(axes, classes)
    mark_malignant(axes, classes, axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, [f"n {total:,}" for total in totals])
    right.tick_params(length=0, labelcolor=GREY)
    right.spines[:].set_visible(False)
