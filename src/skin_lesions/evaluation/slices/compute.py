"""Computation of the slices of the test images."""

from itertools import combinations

import numpy as np
import pandas as pd

from skin_lesions.config.evaluate import Slices
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.evaluation.scorecard.accuracy import ACCURACY
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.class_means import BALANCED_ACCURACY
from skin_lesions.evaluation.scorecard.malignancy import malignancy_metrics
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.evaluation.scorecard.per_class import RECALL
from skin_lesions.evaluation.slices.columns import Division, divide
from skin_lesions.evaluation.slices.gaps import (
    Selected,
    UncorrectedGap,
    compare_slices,
    correct_for_comparisons,
)
from skin_lesions.evaluation.slices.model import Slice, SliceColumn, SliceResults, SliceTables
from skin_lesions.metrics.intervals import unavailable


def compute_slices(
    rows: PredictionArrays,
    images: pd.DataFrame,
    settings: Slices,
    *,
    split_policy: str,
    provenance: MetricsProvenance,
) -> SliceResults:
    """Compute the results of the subgroups of the test images, and the gaps between them.

    Args:
        rows: Predictions of the test images.
        images: Row of the image table of each prediction, in the same order. A column ``is_leaked``
            adds leaked against clean images.
        settings: Parameters ``evaluate.slices``.
        split_policy: Recorded in the result.
        provenance: Recorded in the result.

    Raises:
        InputError: ``settings.columns`` has a column that does not exist.
    """
    found = divide_into_slices(rows, images, settings)
    return SliceResults(
        split_policy=split_policy,
        provenance=provenance,
        min_images=found.min_images,
        comparisons=found.comparisons,
        columns=found.columns,
        left_out=found.left_out,
    )


def divide_into_slices(
    rows: PredictionArrays, images: pd.DataFrame, settings: Slices
) -> SliceTables:
    """Compute the results of the subgroups of some images, as ``compute_slices``."""
    divisions, left_out = divide(images, rows.label, settings)
    selections = [_selections(division) for division in divisions]
    gaps = [_gaps(rows, selected, settings.min_images) for selected in selections]
    comparisons = sum(map(len, gaps))
    columns = []
    for division, selected, found in zip(divisions, selections, gaps, strict=True):
        corrected = [correct_for_comparisons(gap, comparisons) for gap in found]
        corrected.sort(key=lambda gap: -(gap.of_higher - gap.of_lower))
        columns.append(
            SliceColumn(
                column=division.column,
                slices=tuple(
                    _slice(value, rows.subset(inside), settings.min_images)
                    for value, inside in selected.items()
                ),
                gaps=tuple(corrected),
                no_gap=None if found else _reason_without_gap(selected, settings.min_images),
            )
        )
    return SliceTables(
        min_images=settings.min_images,
        comparisons=comparisons,
        columns=tuple(columns),
        left_out=tuple(left_out),
    )


def _selections(division: Division) -> dict[str, Selected]:
    """Return which rows are in each slice, (n,), by its value in the order of display."""
    values = division.values.to_numpy()
    return {value: np.asarray(values == value, np.bool_) for value in division.order}


def _gaps(
    rows: PredictionArrays, selected: dict[str, Selected], min_images: int
) -> list[UncorrectedGap]:
    large = [(value, inside) for value, inside in selected.items() if inside.sum() >= min_images]
    compared = [compare_slices(rows, first, second) for first, second in combinations(large, 2)]
    # Without this limit, few images of common classes could make a large gap by chance.
    return [gap for gap in compared if gap is not None and gap.smaller >= min_images]


def _reason_without_gap(selected: dict[str, Selected], min_images: int) -> str:
    if sum(inside.sum() >= min_images for inside in selected.values()) < 2:
        return f"fewer than two slices have at least {min_images} images"
    return f"no two slices have at least {min_images} images each of common classes"


def _slice(value: str, rows: PredictionArrays, min_images: int) -> Slice:
    malignant = rows.malignancy.label
    if rows.n < min_images:
        missing = unavailable(f"fewer than {min_images} images", rows.n)
        accuracy = balanced_accuracy = missing
        malignant_auroc = sensitivity = specificity = missing
    else:
        per_class = [{RECALL.key: RECALL.estimate(rows, c)} for c in range(len(rows.classes))]
        evaluation = Evaluation(rows=rows, per_class=per_class)
        accuracy = ACCURACY.estimate(evaluation)
        balanced_accuracy = BALANCED_ACCURACY.estimate(evaluation)
        malignancy = malignancy_metrics(rows)
        malignant_auroc = malignancy.auroc
        sensitivity, specificity = malignancy.sensitivity, malignancy.specificity
    return Slice(
        value=value,
        n=rows.n,
        groups=int(np.unique(rows.group).size),
        classes_evaluated=int(rows.present.size),
        malignant=int(malignant.sum()),
        accuracy=accuracy,
        balanced_accuracy=balanced_accuracy,
        malignant_auroc=malignant_auroc,
        sensitivity=sensitivity,
        specificity=specificity,
    )
