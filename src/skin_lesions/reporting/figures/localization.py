"""Localization: mean IoU of each method, and the test images with the lowest IoU."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke
from matplotlib.typing import LineStyleType
from numpy.typing import NDArray

from skin_lesions.core.text import pluralize
from skin_lesions.evaluation.localization import (
    Box,
    LocalizationResults,
    Method,
    MethodScores,
    WorstImage,
)
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.reporting.figures.image_tiles import set_inches
from skin_lesions.reporting.figures.style import (
    CORRECT,
    GRAY,
    INK,
    SMALL,
    TEST,
    add_legend,
    ellipsize,
    few_images_point,
    point,
    rows_axis,
    short_text,
    titled_figure,
    write_beside_rows,
)
from skin_lesions.reporting.formatting import NBSP, whole_percent
from skin_lesions.reporting.localization_summary import METHOD_NAMES

_Kind = Literal["true", "predicted", "mean_box"]  # of boxes in an image

_THRESHOLDS = (0.5, 0.7)
_ROW, _PANEL_MARGIN = 0.29, 0.42  # inches: height of a method; heading and space of a panel
_AXIS = 0.85  # inches, for the axis below the last panel and the legend
_MAX_PANELS = 8

MAX_IMAGES = 12
_WIDTH, _USABLE_WIDTH = 10.0, 9.88  # inches: width of the figure, with and without margins
_COLUMNS, _GAP = 4, 0.16  # images in a row; space between them, inches
_TILE = (_USABLE_WIDTH - (_COLUMNS - 1) * _GAP) / _COLUMNS  # inches
_CAPTION = 0.26  # inches, above an image
_BOX_COLORS: dict[_Kind, str] = {"true": CORRECT, "predicted": TEST, "mean_box": INK}
_BOX_LINES: dict[_Kind, LineStyleType] = {"true": "-", "predicted": "--", "mean_box": ":"}
_BOX_WIDTH, _OUTLINE_WIDTH, _HALO_WIDTH = 1.8, 1.2, 0.9  # points; the halo is on both sides


def draw_localization(localization: LocalizationResults) -> Figure:
    """Draw the mean IoU of each method with its 95 % interval.

    There is one panel for all test images and one for each of at most seven sources.
    """
    panels = _panels(localization)
    displayed = panels[:_MAX_PANELS]
    heights = [_ROW * len(scores) for _, scores in displayed]
    note = (
        "Mean over the test images, with 95 % interval, of the overlap (IoU) of the box of the "
        "highest score with the true box it overlaps most. An image without a box counts as 0. "
        "Right: also the fractions of the images with an IoU of at least 0.5 and 0.7. The fixed "
        "box is the mean of the training boxes."
    )
    if len(panels) > _MAX_PANELS:
        note += f" {len(panels) - _MAX_PANELS} more sources are in localization.json."
    with titled_figure(
        (10.0, sum(heights) + _PANEL_MARGIN * len(displayed) + _AXIS),
        title(localization),
        note=note,
        synthetic=localization.provenance.synthetic_images,
    ) as figure:
        grid = figure.subplots(len(displayed), 1, sharex=True, squeeze=False, height_ratios=heights)
        for axes, (name, scores) in zip(grid[:, 0], displayed, strict=True):
            _draw_methods(axes, name, scores, localization.trained)
        grid[-1, 0].set_xlabel("mean IoU")
        add_legend(figure, _legend(displayed))
    return figure


def title(localization: LocalizationResults) -> str:
    """State whether the trained method is better than a fixed box."""
    name = METHOD_NAMES[localization.trained]
    own, fixed = (
        localization.methods[method].iou if method in localization.methods else None
        for method in (localization.trained, "mean_box")
    )
    if own is None or own.value is None:
        return f"Test: the {name} was not evaluated"
    if fixed is None or fixed.value is None or localization.verdict == "unknown":
        return f"Test: the {name} has a mean IoU of {own.value:.2f}"
    return (
        f"Test: the {name} is {localization.conclusion} (mean IoU {own.value:.2f} and "
        f"{fixed.value:.2f}, gain {_with_interval(localization.gain)})"
    )


def _panels(localization: LocalizationResults) -> list[tuple[str, dict[Method, MethodScores]]]:
    """Return name and scores of each panel: all test images, then the sources."""
    sources = [(short_text(name), scores) for name, scores in localization.sources.items()]
    return [("All test images", localization.methods), *sources]


def _draw_methods(
    axes: Axes, name: str, scores: Mapping[Method, MethodScores], trained: Method
) -> None:
    first = next(iter(scores.values()))
    axes.set_title(
        f"{name}: {pluralize(first.images, 'image')}, {pluralize(first.groups, 'group')}"
    )
    for threshold in _THRESHOLDS:
        axes.axvline(threshold, color=GRAY, linewidth=1, linestyle="--", zorder=1)
    for row, (method, entry) in enumerate(scores.items()):
        color = TEST if method == trained else INK
        if entry.iou.low is not None and entry.iou.high is not None:
            axes.hlines(row, entry.iou.low, entry.iou.high, color=color, linewidth=2.4, alpha=0.55)
        axes.plot(
            entry.iou.value or 0.0,
            row,
            "o",
            color=color,
            markerfacecolor="white" if entry.images < FEW_IMAGES else color,
            markersize=6.5,
            clip_on=False,
        )
    rows_axis(axes, [METHOD_NAMES[method] for method in scores])
    axes.set_xlim(-0.01, 1.01)
    axes.grid(axis="x")
    write_beside_rows(axes, list(map(_text, scores.values())))


def _text(entry: MethodScores) -> str:
    at_50, at_70 = (whole_percent(estimate.value or 0.0) for estimate in (entry.at_50, entry.at_70))
    return f"{_with_interval(entry.iou)}, {at_50} ≥{NBSP}0.5, {at_70} ≥{NBSP}0.7"


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f} to {estimate.high:.2f}]"


def _legend(panels: Sequence[tuple[str, dict[Method, MethodScores]]]) -> list[Line2D]:
    legend = [
        point(TEST, "trained"),
        point(INK, "for comparison"),
        Line2D([], [], color=GRAY, linestyle="--", label="IoU 0.5 and 0.7"),
    ]
    entries = [entry for _, scores in panels for entry in scores.values()]
    if any(entry.images < FEW_IMAGES for entry in entries):
        legend.append(few_images_point())
    return legend


def draw_worst_localizations(
    localization: LocalizationResults,
    images: Mapping[str, NDArray[np.uint8]],
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Figure:
    """Draw the test images with the lowest IoU of the trained method, at most 12.

    Args:
        localization: Its ``worst`` selects the images and has their boxes.
        images: The pixels of each of them by image_id, (h, w, 3), in any size.
        masks: Predicted masks by image_id, (h, w); an image can have none.

    Raises:
        KeyError: The pixels of an image are missing.
    """
    worst = localization.worst[:MAX_IMAGES]
    height = max(0.1, -(-len(worst) // _COLUMNS) * (_CAPTION + _TILE + _GAP))
    with titled_figure(
        (_WIDTH, height + (0.45 if worst else 0.1)),
        worst_title(localization),
        note=(
            "Above each image: IoU of the predicted box with the true box, and the file. These "
            "images have the lowest IoU, so they are not typical. The fixed box is the mean of the "
            "training boxes."
            if worst
            else ""
        ),
        synthetic=localization.provenance.synthetic_images,
    ) as figure:
        axes = figure.subplots()
        for number, entry in enumerate(worst):
            row, column = divmod(number, _COLUMNS)
            corner = (column * (_TILE + _GAP), row * (_CAPTION + _TILE + _GAP))
            mask = None if masks is None else masks.get(entry.image_id)
            _draw_image(axes, corner, entry, images[entry.image_id], mask)
        set_inches(axes, _USABLE_WIDTH, height)
        add_legend(figure, _box_legend(worst, with_masks=bool(masks)))
    return figure


def worst_title(localization: LocalizationResults) -> str:
    """State the lowest IoUs of the trained method."""
    worst = localization.worst[:MAX_IMAGES]
    if not worst:
        return "No test images with boxes"
    return (
        f"Test: {pluralize(len(worst), 'image')} with the lowest IoU of the "
        f"{METHOD_NAMES[localization.trained]} ({worst[0].iou:.2f} to {worst[-1].iou:.2f})"
    )


def _draw_image(
    axes: Axes,
    corner: tuple[float, float],
    entry: WorstImage,
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
) -> None:
    """Draw an image with its boxes and its caption."""
    x, y = corner[0], corner[1] + _CAPTION
    scale = _TILE / max(pixels.shape[:2])
    width, height = pixels.shape[1] * scale, pixels.shape[0] * scale
    left, top = x + (_TILE - width) / 2, y + (_TILE - height) / 2
    axes.add_patch(Rectangle((x, y), _TILE, _TILE, facecolor="#F1F3F5", zorder=-1))
    extent = (left, left + width, top + height, top)
    axes.imshow(pixels, extent=extent, interpolation="antialiased")
    if mask is not None:
        _draw_outline(axes, extent, mask)
    if entry.mean_box is not None:
        _draw_box(axes, extent, entry.mean_box, "mean_box")
    for box in entry.true:
        _draw_box(axes, extent, box, "true")
    if entry.predicted is not None:
        _draw_box(axes, extent, entry.predicted, "predicted")
    caption = f"IoU {entry.iou:.2f}" if entry.predicted is not None else "no box"
    axes.text(x, y - 0.07, caption, fontsize=SMALL, fontweight="bold", va="baseline")
    name = ellipsize(PurePosixPath(entry.file).name, 0.6 * 72 * _TILE, SMALL)
    axes.text(x + _TILE, y - 0.07, name, fontsize=SMALL, color=GRAY, va="baseline", ha="right")


def _draw_box(axes: Axes, extent: tuple[float, float, float, float], box: Box, kind: _Kind) -> None:
    left, right, bottom, top = extent
    x0, y0, x1, y1 = box
    width, height = right - left, bottom - top
    axes.add_patch(
        Rectangle(
            (left + x0 * width, top + y0 * height),
            (x1 - x0) * width,
            (y1 - y0) * height,
            fill=False,
            edgecolor=_BOX_COLORS[kind],
            linestyle=_BOX_LINES[kind],
            linewidth=_BOX_WIDTH,
            path_effects=_halo(_BOX_WIDTH),
        )
    )


def _draw_outline(
    axes: Axes, extent: tuple[float, float, float, float], mask: NDArray[np.bool_]
) -> None:
    """Draw the border of a mask, (h, w)."""
    if not mask.any():
        return
    left, right, bottom, top = extent
    rows, columns = mask.shape
    # Centers of the pixels, with one empty pixel on each side: the outline is closed at the border.
    x = left + (np.arange(-1, columns + 1) + 0.5) / columns * (right - left)
    y = top + (np.arange(-1, rows + 1) + 0.5) / rows * (bottom - top)
    color = _BOX_COLORS["predicted"]
    outline = axes.contour(
        x, y, np.pad(mask, 1), levels=[0.5], colors=[color], linewidths=_OUTLINE_WIDTH
    )
    outline.set_path_effects(_halo(_OUTLINE_WIDTH))


def _halo(width: float) -> list[AbstractPathEffect]:
    """Return a white border around a line, so that it is visible on every image.

    Args:
        width: Width of the line, points.
    """
    return [Stroke(linewidth=width + 2 * _HALO_WIDTH, foreground="white"), Normal()]


def _box_legend(worst: Sequence[WorstImage], *, with_masks: bool) -> list[Line2D]:
    names: dict[_Kind, str] = {
        "true": "true box",
        "predicted": "predicted box of the highest score",
    }
    if any(entry.mean_box is not None for entry in worst):
        names["mean_box"] = METHOD_NAMES["mean_box"]
    legend = [
        Line2D(
            [],
            [],
            color=_BOX_COLORS[kind],
            linestyle=_BOX_LINES[kind],
            linewidth=_BOX_WIDTH,
            label=name,
        )
        for kind, name in names.items()
    ]
    if with_masks:
        color = _BOX_COLORS["predicted"]
        legend.append(Line2D([], [], color=color, linewidth=_OUTLINE_WIDTH, label="predicted mask"))
    return legend if worst else []
