"""The most frequent confusions: a wrong image beside a correct one of the predicted class."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.core.text import pluralize
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import PredictionTable
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.image_tiles import ImageTiles, class_name_lines, set_inches
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    GRAY,
    INK,
    SMALL,
    titled_figure,
)
from skin_lesions.reporting.formatting import whole_percent

_MAX_PAIRS, _PAIRS_PER_ROW = 9, 3
_WIDTH, _USABLE_WIDTH = 10.0, 9.88  # inches: width of the figure, with and without margins
_GAP, _IMAGE_GAP = 0.34, 0.06  # inches: between pairs; between the images of a pair
_PAIR = (_USABLE_WIDTH - (_PAIRS_PER_ROW - 1) * _GAP) / _PAIRS_PER_ROW  # inches
_IMAGE = (_PAIR - _IMAGE_GAP) / 2  # inches
_LINE = 0.17  # inches
_ROW = _IMAGE + 4 * _LINE + 0.2  # inches: images, four lines of text and space


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A wrong test image, and a correct one of the predicted class.

    Attributes:
        label: Class of the wrong image.
        predicted: Its predicted class.
        count: Number of test images with this label and prediction.
        support: Number of test images with this label.
        wrong: image_id of the one that is predicted with the highest probability.
        probability: This probability.
        correct: image_id of the correct image of the predicted class with the highest probability;
            None if no image of the class is correct.
    """

    label: str
    predicted: str
    count: int
    support: int
    wrong: str
    probability: float
    correct: str | None


def find_confusions(predictions: pd.DataFrame, limit: int = _MAX_PAIRS) -> list[Confusion]:
    """Return the most frequent confusions of the test images, the most frequent first.

    Equal counts are ordered by the fraction of the images with the label, then by name.
    """
    test = predictions[predictions["split"] == "test"]
    probability = [row[f"p_{row['predicted']}"] for _, row in test.iterrows()]
    # The most confident first; equal ones in the order of the files.
    test = test.assign(probability=np.array(probability, np.float64)).sort_values(
        ["probability", "file"], ascending=[False, True]
    )
    support = test["label"].value_counts()
    correct = test[test["label"] == test["predicted"]].drop_duplicates("label")
    correct_id = dict(zip(correct["label"], correct["image_id"], strict=True))
    confusions = [
        Confusion(
            label=str(label),
            predicted=str(predicted),
            count=len(rows),
            support=int(support[str(label)]),
            wrong=rows["image_id"].iloc[0],
            probability=float(rows["probability"].iloc[0]),
            correct=correct_id.get(predicted),
        )
        for (label, predicted), rows in test[test["label"] != test["predicted"]].groupby(
            ["label", "predicted"]
        )
    ]
    confusions.sort(key=lambda c: (-c.count, -c.count / c.support, c.label, c.predicted))
    return confusions[:limit]


def draw_confused_pairs(
    predictions: PredictionTable, pixel_store: PixelStore, model: TrainedModel
) -> Figure:
    """Draw the most frequent confusions as pairs of images.

    Args:
        predictions: Test images with label, predicted class and probabilities.
        pixel_store: Decoded images.
        model: Its preprocessing determines what is shown of an image.
    """
    confusions = find_confusions(predictions.frame)
    tiles = ImageTiles.of(pixel_store, model)
    rows = -(-len(confusions) // _PAIRS_PER_ROW)
    height = max(rows * _ROW, 0.1)
    with titled_figure(
        (_WIDTH, height + 0.1),
        title(predictions.frame),
        note=(
            "Left: the wrong image that is predicted with the highest probability. Right: the "
            "correct image of the predicted class with the highest probability. They are extreme "
            "examples, not typical ones."
            if confusions
            else ""
        ),
        synthetic=model.provenance.origin.is_synthetic,
    ) as figure:
        axes = figure.subplots()
        for number, confusion in enumerate(confusions):
            row, column = divmod(number, _PAIRS_PER_ROW)
            _draw_pair(axes, (column * (_PAIR + _GAP), row * _ROW), confusion, tiles)
        set_inches(axes, _USABLE_WIDTH, height)
    return figure


def title(predictions: pd.DataFrame) -> str:
    """Name the most frequent confusion."""
    confusions = find_confusions(predictions, 1)
    if not confusions:
        return "No test image is predicted as a wrong class"
    [top] = confusions
    return (
        f"Most frequent confusion: {figure_name(top.label)} predicted as "
        f"{figure_name(top.predicted)} ({top.count:,} of {pluralize(top.support, 'test image')})"
    )


def _draw_pair(
    axes: Axes, corner: tuple[float, float], confusion: Confusion, tiles: ImageTiles
) -> None:
    x, y = corner
    tiles.draw(axes, corner, _IMAGE, confusion.wrong)
    tiles.draw(axes, (x + _IMAGE + _IMAGE_GAP, y), _IMAGE, confusion.correct)
    width = 0.95 * 72 * _IMAGE  # points; with a reserve, because text widths are estimates
    left = [
        *((line, INK, "bold") for line in class_name_lines(confusion.label, width, "bold")),
        (f"predicted {whole_percent(confusion.probability)}", GRAY, "normal"),
        (f"{confusion.count:,} of {pluralize(confusion.support, 'image')}", GRAY, "normal"),
    ]
    right = [(line, INK, "bold") for line in class_name_lines(confusion.predicted, width, "bold")]
    for start, lines in ((x, left), (x + _IMAGE + _IMAGE_GAP, right)):
        for number, (text, color, weight) in enumerate(lines, start=1):
            axes.text(
                start,
                y + _IMAGE + number * _LINE,
                text,
                fontsize=SMALL,
                color=color,
                fontweight=weight,
                va="baseline",
            )


FIGURE = FigureSpec(
    name="confused_pairs",
    heading="Most frequent confusions",
    inputs=("predictions", "pixel_store", "model"),
    draw=draw_confused_pairs,
    alt_text=lambda _: (
        "Wrong test images of the most frequent confusions beside correct images of the predicted "
        "class"
    ),
    section="errors",
    shows_patients=True,
)
