"""Suspected label errors, ranked by confident learning.

Only validation and test images are ranked: the model was not trained on them, so it cannot have
memorized their labels. Validation images selected the epoch and the calibration, so that their
ranking is slightly optimistic: fewer of their errors are found.

Source:
    Northcutt, Jiang and Chuang (2021), doi:10.1613/jair.1.12125.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays, prediction_arrays
from skin_lesions.metrics.classification import Floats, Numbers

COLUMNS = (
    "rank",
    "file",
    "image_id",
    "split",
    "label",
    "suggested_label",
    "label_probability",
    "suggested_probability",
    "margin",
)


@dataclass(frozen=True, kw_only=True)
class LabelQuality:
    """How well each label agrees with the predicted probabilities, (n,) each.

    Attributes:
        margin: Normalized margin, 0 to 1: half of 1 plus the probability of the label minus the
            largest probability of another class. Values below 0.5 are errors of the model.
        suggested: The class that confident learning assigns; the label if no class qualifies.
        is_suspected: Whether it is not the label.
    """

    margin: Floats
    suggested: Numbers
    is_suspected: NDArray[np.bool_]


def label_quality(rows: PredictionArrays) -> LabelQuality:
    """Rate each label by confident learning.

    The threshold of a class is the mean probability of the class over the images with this label.
    An image counts as a confident example of the classes whose probability reaches their threshold.
    If the most probable of these is not the label, the label is suspected.
    """
    n, k = rows.probability.shape
    index = np.arange(n)
    of_label = rows.probability[index, rows.label]  # (n,)
    # Mean self-confidence of each class, (k,). A class without images is never suggested.
    sums = np.bincount(rows.label, weights=of_label, minlength=k)
    thresholds = np.where(rows.support > 0, sums / np.maximum(rows.support, 1), np.inf)
    confident = np.where(rows.probability >= thresholds, rows.probability, -1.0)  # (n, k)
    suggested = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), rows.label)
    others = rows.probability.copy()
    others[index, rows.label] = -1.0
    return LabelQuality(
        margin=(1 + of_label - others.max(axis=1)) / 2,
        suggested=suggested,
        is_suspected=suggested != rows.label,
    )


def rank_label_issues(
    predictions: pd.DataFrame, classes: Sequence[str], max_rows: int
) -> pd.DataFrame:
    """List the suspected label errors of validation and test images, the most suspicious first.

    Args:
        predictions: One row per image; file, image_id, group_id, split, label, predicted and
            ``p_<class>`` for each class.
        classes: The class names, in the order of the model.
        max_rows: Maximum number of listed images.

    Returns:
        A table of text with ``COLUMNS``. ``rank`` counts from 1, in the order of the margin.
    """
    table = predictions[predictions["split"].isin(["val", "test"])].reset_index(drop=True)
    rows = prediction_arrays(table.drop(columns="split"), classes)
    quality = label_quality(rows)
    suspected = np.flatnonzero(quality.is_suspected)
    # Equal margins are ordered by file, so that the order of the rows has no effect.
    order = np.lexsort((table["file"].to_numpy(str)[suspected], quality.margin[suspected]))
    selected = suspected[order][:max_rows]
    suggested = quality.suggested[selected]
    probability = rows.probability[selected]
    index = np.arange(selected.size)
    found = table.iloc[selected][["file", "image_id", "split", "label"]].reset_index(drop=True)
    found = found.assign(
        rank=index + 1,
        suggested_label=np.array(classes, dtype=object)[suggested],
        label_probability=_decimals(probability[index, rows.label[selected]]),
        suggested_probability=_decimals(probability[index, suggested]),
        margin=_decimals(quality.margin[selected]),
    )
    return found[list(COLUMNS)].astype(str)


def _decimals(values: Floats) -> list[str]:
    return [f"{value:.4f}" for value in values]
