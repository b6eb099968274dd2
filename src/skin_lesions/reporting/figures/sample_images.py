"""Sample images of each class."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from skin_lesions.config.report import Report
from skin_lesions.data.pixel_store import PixelArray, PixelStore
from skin_lesions.data.tables import ImageTable
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    INK,
    MALIGNANT,
    SMALL,
    add_legend,
    class_name,
    malignant_names,
    name_width,
    titled_figure,
)

_WIDTH, _USABLE_WIDTH = 10.0, 9.88  # inches: width of the figure, with and without margins
_HEIGHT = 8.2  # inches, below the title; the figure is then close to 4:3
_MIN_IMAGE_SIZE = 0.35  # inches
_NAME_HEIGHT, _GAP = 0.27, 0.2  # inches: line of a class name; space between classes
# Columns that identify images of one lesion or patient, the most reliable first.
_GROUP_COLUMNS = ("group_id", "patient_id", "lesion_id", "filename_key")


@dataclass(frozen=True)
class _Layout:
    """Grid of ``rows`` by ``columns`` classes, each a block of ``down`` by ``across`` images."""

    columns: int
    across: int
    down: int
    rows: int

    @property
    def block(self) -> tuple[float, float]:
        """Width and height of the block of a class, including the space around it, inches."""
        width = (_USABLE_WIDTH + _GAP) / self.columns
        return width, self.down * self.image_size + _NAME_HEIGHT + _GAP / 2

    @property
    def image_size(self) -> float:
        """Size of the square of an image that width and height of the figure allow, inches."""
        from_width = ((_USABLE_WIDTH + _GAP) / self.columns - _GAP) / self.across
        from_height = (_HEIGHT / self.rows - _NAME_HEIGHT - _GAP / 2) / self.down
        return min(from_width, max(from_height, _MIN_IMAGE_SIZE))

    @property
    def excess_height(self) -> float:
        """Height above the intended height, caused by the minimum image size, inches."""
        return max(0.0, self.rows * self.block[1] - _HEIGHT)


def draw_sample_images(
    image_table: ImageTable,
    pixel_store: PixelStore,
    model: TrainedModel,
    malignancy: MalignancyResults,
    report: Report,
) -> Figure:
    """Draw some different images of each class, in their original aspect ratio.

    The images are those that the preprocessing of the model receives. The same images give the
    same selection. Each lesion or patient is used once as long as there
    are others.

    Args:
        image_table: One row per file; image_id, label, width, height, and group columns if known.
        pixel_store: Decoded images.
        model: Its preprocessing determines the size of the decoded images.
        malignancy: Its malignant classes are colored.
        report: Its ``samples_per_class`` is the maximum number of images of each class.
    """
    table = image_table.frame
    images = pixel_store.at(model.preprocessing.stored_image_size)
    selected = select_images(table, report.samples_per_class)
    labels = sorted(table["label"].unique())
    layout = _best_layout(labels, report.samples_per_class)
    width, height = layout.block
    malignant = set(labels) & set(malignancy.malignant_classes)
    legend = malignant_names(malignant)
    legend_height = 0.35 if legend else 0.0  # inches
    with titled_figure(
        (_WIDTH, layout.rows * height + 0.1 + legend_height),
        title(table, report.samples_per_class, figure_name),
        note="In parentheses: number of different images.",
        synthetic=image_table.provenance.origin.is_synthetic,
    ) as figure:
        axes = figure.subplots()
        counts = table.groupby("label")["image_id"].nunique()
        for i, label in enumerate(labels):
            corner = (i % layout.columns * width, i // layout.columns * height)
            color = MALIGNANT if label in malignant else INK
            _write_name(axes, corner, label, int(counts[label]), color)
            _draw_images(axes, corner, selected[selected["label"] == label], images, layout)
        axes.set_xlim(0, _USABLE_WIDTH)
        axes.set_ylim(layout.rows * height, 0)
        axes.set_aspect("equal", anchor="NW")
        axes.set_axis_off()
        add_legend(figure, legend)
    return figure


def title(image_table: pd.DataFrame, per_class: int, name: Callable[[str], str] = str) -> str:
    """Describe the sample images, and name the classes with too few images.

    Args:
        image_table: One row per file; image_id and label.
        per_class: The maximum number of images of each class.
        name: Formats the class names.
    """
    images = image_table.groupby("label")["image_id"].nunique()
    if per_class == 1:
        return f"One image of each of the {len(images)} classes"
    few = images[images < per_class]
    start = f"{per_class} different images of each of the {len(images)} classes"
    if few.empty:
        return start
    if len(few) > 3:
        return f"Up to {start}; {len(few)} classes have fewer"
    return f"Up to {start}; fewer of {', '.join(map(name, few.index))}"


def select_images(image_table: pd.DataFrame, per_class: int) -> pd.DataFrame:
    """Select up to ``per_class`` different images of each class, from different groups first."""
    table = image_table.drop_duplicates(["label", "image_id"]).sort_values(["label", "image_id"])
    key = next((name for name in _GROUP_COLUMNS if name in table), None)
    group = table["image_id"] if key is None else table[key].fillna(table["image_id"])
    # Position of an image in its group: the first images of all groups come first.
    rank = table.assign(_group=group.astype(str)).groupby(["label", "_group"]).cumcount()
    order = table.assign(_rank=rank).sort_values(["label", "_rank", "image_id"])
    return order.groupby("label").head(per_class).drop(columns="_rank")


def _best_layout(labels: Sequence[str], per_class: int) -> _Layout:
    """Return the layout with the largest images in which every class name fits."""
    min_block_width = name_width([f"{class_name(label)} (00,000)" for label in labels]) + _GAP

    def score(layout: _Layout) -> float:
        overlaps = layout.columns > 1 and layout.block[0] < min_block_width
        # Penalties: too high 0.1 per inch, overlapping names more than any image size.
        return layout.image_size - 0.1 * layout.excess_height - 10.0 * overlaps

    layouts = [
        _Layout(columns, across, math.ceil(per_class / across), math.ceil(len(labels) / columns))
        for columns, across in product(range(1, len(labels) + 1), range(1, per_class + 1))
    ]
    return max(layouts, key=score)


def _write_name(
    axes: Axes, corner: tuple[float, float], label: str, number: int, color: str
) -> None:
    x, y = corner
    text = f"{class_name(label)} ({number:,})"
    axes.text(x, y + _NAME_HEIGHT - 0.06, text, color=color, fontsize=SMALL, va="baseline")


def _draw_images(
    axes: Axes,
    corner: tuple[float, float],
    rows: pd.DataFrame,
    images: PixelArray,
    layout: _Layout,
) -> None:
    inner = layout.image_size - 0.04
    columns = zip(rows["image_id"], rows["width"], rows["height"], strict=True)
    for i, (image_id, image_width, image_height) in enumerate(columns):
        scale = inner / max(image_width, image_height)
        width, height = image_width * scale, image_height * scale
        x = corner[0] + i % layout.across * layout.image_size
        y = corner[1] + _NAME_HEIGHT + i // layout.across * layout.image_size
        axes.add_patch(Rectangle((x, y), inner, inner, facecolor="#F1F3F5", zorder=-1))
        left, top = x + (inner - width) / 2, y + (inner - height) / 2
        axes.imshow(
            images[image_id],
            extent=(left, left + width, top + height, top),
            interpolation="antialiased",
        )


FIGURE = FigureSpec(
    name="sample_images",
    heading="Sample images",
    inputs=("image_table", "pixel_store", "model", "malignancy", "params:report"),
    draw=draw_sample_images,
    alt_text=lambda inputs: (
        f"Some images of each of the {inputs.image_table.frame['label'].nunique()} classes"
    ),
    section="data",
    shows_patients=True,
)
