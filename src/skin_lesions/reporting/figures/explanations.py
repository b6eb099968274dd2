"""Grad-CAM maps of test images: what the model looks at."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import ExplanationTable
from skin_lesions.evaluation.explained_images import (
    CORRECT,
    GALLERY,
    UNCERTAIN,
    WRONG,
    ExplainedImages,
    normalize_map,
)
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.image_tiles import ImageTiles, class_name_lines, set_inches
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    BODY,
    GRAY,
    INK,
    MALIGNANT,
    SMALL,
    add_legend,
    class_name,
    malignant_names,
    titled_figure,
)
from skin_lesions.reporting.formatting import whole_percent

_HEADINGS = {
    CORRECT: "Correct, highest confidence",
    WRONG: "Wrong, highest confidence",
    UNCERTAIN: "Lowest confidence of the others",
}
_WIDTH, _USABLE_WIDTH = 10.0, 9.88  # inches: width of the figure, with and without margins
_COLUMN = _USABLE_WIDTH / len(GALLERY)  # inches
_IMAGE, _GAP = 0.98, 0.05  # inches: size of an image; space between image and map
_TEXT_LEFT = 2 * _IMAGE + _GAP + 0.08  # inches, from the left of a column
_TEXT_WIDTH = 72 * (_COLUMN - _TEXT_LEFT - 0.08)  # points
_HEADING, _NAME, _LINE = 0.3, 0.27, 0.17  # inches: heights of lines of text
_ROW = _NAME + _IMAGE + 0.12  # inches: height of a class


def draw_explanations(
    explained_images: ExplanationTable,
    pixel_store: PixelStore,
    model: TrainedModel,
    malignancy: MalignancyResults,
) -> Figure:
    """Draw three test images of each class beside their Grad-CAM maps.

    Args:
        explained_images: Images of the gallery, and their maps.
        pixel_store: Decoded images.
        model: Its preprocessing determines what is shown of an image.
        malignancy: Its malignant classes are colored.
    """
    images = ExplainedImages.from_frame(explained_images.frame)
    gallery = images.frame[images.frame["kind"] != ""]
    labels = [label for label in model.classes if (gallery["label"] == label).any()]
    tiles = ImageTiles.of(pixel_store, model)
    height = _HEADING + len(labels) * _ROW
    malignant = set(labels) & set(malignancy.malignant_classes)
    legend = malignant_names(malignant)
    with titled_figure(
        (_WIDTH, height + 0.1 + (0.35 if legend else 0.0)),
        title(images),
        note=_note(images),
        synthetic=model.provenance.origin.is_synthetic,
    ) as figure:
        axes = figure.subplots()
        if labels:
            for column, kind in enumerate(GALLERY):
                axes.text(column * _COLUMN, 0.2, _HEADINGS[kind], fontsize=BODY, fontweight="bold")
        for row, label in enumerate(labels):
            y = _HEADING + row * _ROW
            color = MALIGNANT if label in malignant else INK
            axes.text(0, y + _NAME - 0.07, class_name(label), color=color, fontsize=SMALL)
            for column, kind in enumerate(GALLERY):
                cell = gallery[(gallery["label"] == label) & (gallery["kind"] == kind)]
                corner = (column * _COLUMN, y + _NAME)
                if cell.empty:
                    axes.text(corner[0], corner[1] + _LINE, "none", fontsize=SMALL, color=GRAY)
                else:
                    _draw_cell(axes, corner, cell, images, tiles)
        set_inches(axes, _USABLE_WIDTH, height)
        add_legend(figure, legend)
    return figure


def title(images: ExplainedImages) -> str:
    """Say what the figure shows."""
    count = int((images.frame["kind"] != "").sum())
    if not count:
        return "No test images to explain"
    if images.reason:
        return f"{count} test images without Grad-CAM maps"
    return f"Regions of {count} test images that raise the probability of the predicted class"


def _note(images: ExplainedImages) -> str:
    if images.reason:
        return f"No maps: {images.reason}."
    return (
        "Test images of each class and their Grad-CAM maps (bright: raises the logit of the "
        "predicted class; each map is scaled to its maximum). Below the prediction: its "
        "probability. The images are selected by confidence, so they are not typical."
    )


def _draw_cell(
    axes: Axes,
    corner: tuple[float, float],
    cell: pd.DataFrame,
    images: ExplainedImages,
    tiles: ImageTiles,
) -> None:
    """Draw an image, its map and its caption."""
    [position] = cell.index
    row = cell.iloc[0]
    x, y = corner
    tiles.draw(axes, corner, _IMAGE, row["image_id"])
    values: NDArray | None = None
    if not images.reason:
        values = normalize_map(images.maps[position])
        tiles.draw(axes, (x + _IMAGE + _GAP, y), _IMAGE, row["image_id"], values)
    left = x + (_IMAGE + 0.08 if values is None else _TEXT_LEFT)
    is_correct = row["label"] == row["predicted"]
    names = [] if is_correct else class_name_lines(row["predicted"], _TEXT_WIDTH)
    lines = [
        ("correct" if is_correct else "predicted", GRAY),
        *((name, INK) for name in names),
        (whole_percent(float(row["confidence"])), INK),
        ("empty map" if values is not None and not values.any() else "", GRAY),
    ]
    shown = [(text, color) for text, color in lines if text]
    for number, (text, color) in enumerate(shown, start=1):
        axes.text(left, y + number * _LINE, text, fontsize=SMALL, color=color, va="baseline")


FIGURE = FigureSpec(
    name="explanations",
    heading="Explanations (Grad-CAM)",
    inputs=("explained_images", "pixel_store", "model", "malignancy"),
    draw=draw_explanations,
    alt_text=lambda _: (
        "Test images of each class beside Grad-CAM maps of the regions that raise the probability "
        "of the predicted class"
    ),
    section="explanations",
    shows_patients=True,
)
