"""The confusion matrix: what is taken for what."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BODY,
    GRAY,
    INK,
    SMALL,
    class_name,
    is_malignant,
    mark_malignant,
    name_width,
    titled_figure,
)

_RIGHT = LinearSegmentedColormap.from_list("right", ["#FFFFFF", "#56A0CE", "#00507D"])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["#FFFFFF", "#F3B54A", "#C65A00"])

_AROUND = 0.95  # inches, for what stands left of the names and right of the matrix


def confusion_matrix(metrics: dict[str, Any]) -> Figure:
    """Draw counts and row shares of the test images; rows are labels, columns predictions.

    Right ones are blue, wrong ones orange, the deeper the larger their share of the row. Cells
    without images are empty.
    """
    part = metrics["test"]["confusion"]
    counts, classes = np.array(part["counts"]), list(part["classes"])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = name_width([class_name(label) for label in classes])
    cell = float(np.clip((10.0 - _AROUND - names) / len(classes), 0.4, 1.6))
    note = "Each cell: images, and their share of the row. Blue: right. Orange: wrong."
    if any(map(is_malignant, classes)):
        note += " Names in red-brown: malignant."
    with titled_figure(
        _size(len(classes), cell, names),
        titles.confusion(metrics),
        note=note,
        synthetic=metrics["provenance"]["synthetic_images"],
    ) as figure:
        axes = figure.subplots()
        _color_cells(axes, shares)
        _write_cells(axes, counts, shares, cell)
        _name_axes(axes, classes, totals[:, 0], cell)
    return figure


def _size(classes: int, cell: float, names: float) -> tuple[float, float]:
    below = 0.7 + (0.1 if names < 0.95 * cell else 0.72 * names)
    return max(6.5, names + cell * classes + _AROUND), min(cell, 0.8) * classes + below


def _color_cells(axes: Axes, shares: npt.NDArray[np.float64]) -> None:
    diagonal = np.eye(len(shares), dtype=bool)
    colours = np.where(diagonal[..., None], _RIGHT(shares), _WRONG(shares))
    axes.imshow(colours, aspect="auto", interpolation="nearest")
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
        for text, rise, va, size in (
            (f"{counts[row, column]:,}", -1, "bottom", large),
            (titles.percent(share), -2, "top", small),
        ):
            axes.annotate(
                text,
                (column, row),
                xytext=(0, rise),
                textcoords="offset points",
                ha="center",
                va=va,
                fontsize=size,
                color=ink,
                in_layout=False,  # it lies within its cell, and looking at each takes seconds
            )


def _font_sizes(cell: float, largest: int) -> tuple[float, float]:
    """Return the sizes of counts and shares, so that both fit a cell of this width."""
    points = 72 * cell * 0.92
    digits = max(2, len(f"{largest:,}"))
    large = min(BODY + 2, points / 2.6, points / (0.64 * digits))
    return large, min(large, SMALL, points / 3.3)


def _readable_on(background: Sequence[float]) -> str:
    """Return white or ink, whichever has the higher contrast (WCAG relative luminance)."""
    return "white" if 1.05 / (_luminance(background) + 0.05) > 4.5 else INK


def _luminance(colour: Sequence[float]) -> float:
    channels = np.array(colour, dtype=np.float64)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _name_axes(axes: Axes, classes: list[str], totals: npt.NDArray[Any], cell: float) -> None:
    names = [class_name(label) for label in classes]
    places = range(len(names))
    axes.set_yticks(places, names)
    if name_width(names) < 0.95 * cell:
        axes.set_xticks(places, names)
    else:
        axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("label", color=GRAY)
    axes.set_xlabel("predicted", color=GRAY)
    axes.tick_params(length=0)
    mark_malignant(axes, classes)
    mark_malignant(axes, classes, axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, [f"n {total:,}" for total in totals])
    right.tick_params(length=0, labelcolor=GRAY)
    right.spines[:].set_visible(False)
