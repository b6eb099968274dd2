"""A sheet of images, some of each class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from skin_lesions.data.sources.base import is_synthetic
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    INK,
    MALIGNANT_NAME,
    SMALL,
    class_name,
    is_malignant,
    name_width,
    titled_figure,
)

_WIDTH, _USED = 10.0, 9.88  # inches: of the sheet; without its margins
_HEIGHT = 8.2  # inches, below the title: with it the sheet comes close to 4:3
_SMALLEST = 0.35  # inches, edge of an image
_NAME, _GAP = 0.27, 0.2  # inches: line of a class name; space between classes
# What may tell that two images show one lesion or person, the surest first.
_GROUPS = ("group_id", "patient_id", "lesion_id", "filename_key")


@dataclass(frozen=True)
class _Layout:
    """``columns`` of classes, each a block of ``across`` by ``down`` images."""

    columns: int
    across: int
    down: int
    rows: int

    @property
    def block(self) -> tuple[float, float]:
        """Width and height of a class's block, with the space around it, inches."""
        width = (_USED + _GAP) / self.columns
        return width, self.down * self.edge + _NAME + _GAP / 2

    @property
    def edge(self) -> float:
        """Edge of an image's square, inches: what width and height of the sheet allow."""
        wide = ((_USED + _GAP) / self.columns - _GAP) / self.across
        high = (_HEIGHT / self.rows - _NAME - _GAP / 2) / self.down
        return min(wide, max(high, _SMALLEST))

    @property
    def too_high(self) -> float:
        """Return what the smallest edge lets the sheet be too high, inches."""
        return max(0.0, self.rows * self.block[1] - _HEIGHT)


def sample_images(
    image_table: pd.DataFrame, pixels: Mapping[str, Any] | Any, *, per_class: int
) -> Figure:
    """Show some different images of each class, in their true aspect.

    The choice is the same for the same images, and takes each lesion or patient once as long as
    there are others.

    Args:
        image_table: One row per file; image_id, label, width, height, maybe lesion_id and the like.
        pixels: ``pixels[image_id]`` is a (S, S, 3) uint8 square that was squashed.
        per_class: How many images of each class, if it has so many.
    """
    chosen = chosen_images(image_table, per_class)
    labels = sorted(image_table["label"].unique())
    layout = _best_layout(labels, per_class)
    width, height = layout.block
    with titled_figure(
        (_WIDTH, layout.rows * height + 0.1),
        titles.samples(image_table, per_class),
        note="In brackets: the number of different images. Names in red-brown: malignant."
        if any(map(is_malignant, labels))
        else "In brackets: the number of different images.",
        synthetic=is_synthetic(image_table),
    ) as figure:
        axes = figure.subplots()
        numbers = image_table.groupby("label")["image_id"].nunique()
        for i, label in enumerate(labels):
            corner = (i % layout.columns * width, i // layout.columns * height)
            _write_name(axes, corner, label, int(numbers[label]))
            _show(axes, corner, chosen[chosen["label"] == label], pixels, layout)
        axes.set_xlim(0, _USED)
        axes.set_ylim(layout.rows * height, 0)
        axes.set_aspect("equal", anchor="NW")
        axes.set_axis_off()
    return figure


def chosen_images(image_table: pd.DataFrame, per_class: int) -> pd.DataFrame:
    """Choose up to ``per_class`` different images of each class, from different groups first."""
    table = image_table.drop_duplicates(["label", "image_id"]).sort_values(["label", "image_id"])
    key = next((name for name in _GROUPS if name in table), None)
    group = table["image_id"] if key is None else table[key].fillna(table["image_id"])
    turn = table.assign(_group=group.astype(str)).groupby(["label", "_group"]).cumcount()
    order = table.assign(_turn=turn).sort_values(["label", "_turn", "image_id"])
    return order.groupby("label").head(per_class).drop(columns="_turn")


def _best_layout(labels: list[str], per_class: int) -> _Layout:
    """Choose the layout with the largest images in which every name has room."""
    room = name_width([f"{class_name(label)} (00,000)" for label in labels]) + _GAP

    def merit(layout: _Layout) -> float:
        cramped = layout.columns > 1 and layout.block[0] < room
        return layout.edge - 0.1 * layout.too_high - 10.0 * cramped

    layouts = [
        _Layout(columns, across, math.ceil(per_class / across), math.ceil(len(labels) / columns))
        for columns, across in product(range(1, len(labels) + 1), range(1, per_class + 1))
    ]
    return max(layouts, key=merit)


def _write_name(axes: Axes, corner: tuple[float, float], label: str, number: int) -> None:
    x, y = corner
    colour = MALIGNANT_NAME if is_malignant(label) else INK
    text = f"{class_name(label)} ({number:,})"
    axes.text(x, y + _NAME - 0.06, text, color=colour, fontsize=SMALL, va="baseline")


def _show(
    axes: Axes, corner: tuple[float, float], rows: pd.DataFrame, pixels: Any, layout: _Layout
) -> None:
    inner = layout.edge - 0.04
    for i, image in enumerate(rows.to_dict("records")):
        scale = inner / max(image["width"], image["height"])
        width, height = image["width"] * scale, image["height"] * scale
        x = corner[0] + i % layout.across * layout.edge
        y = corner[1] + _NAME + i // layout.across * layout.edge
        axes.add_patch(Rectangle((x, y), inner, inner, facecolor="#F1F3F5", zorder=-1))
        left, top = x + (inner - width) / 2, y + (inner - height) / 2
        axes.imshow(
            np.asarray(pixels[image["image_id"]]),
            extent=(left, left + width, top + height, top),
            interpolation="antialiased",
        )
