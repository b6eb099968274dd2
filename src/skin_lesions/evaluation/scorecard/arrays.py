"""Predictions of one split as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.data.diagnoses import MalignantClasses, malignant_classes
from skin_lesions.data.tables import probability_column
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.models.postprocessing.malignancy_thresholds import malignancy_score

# Probabilities stored as 32-bit floats sum to 1 only approximately.
_SUM_TOLERANCE = 1e-3
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PredictionArrays:
    """Predictions as arrays: n rows, k classes; classes are integers from 0 to k - 1.

    ``label``, ``predicted`` and ``group`` have shape (n,), ``probability`` has shape (n, k).
    ``probability`` is for the class frequencies of the training images, which are about those of
    the validation and test images. If the predicted class is the most probable one for equal class
    frequencies (``train.decision``), it need not have the highest ``probability``.
    ``malignant`` describes which classes are malignant.
    """

    classes: tuple[str, ...]
    label: Numbers
    predicted: Numbers
    group: Numbers
    probability: Floats
    malignant: MalignantClasses

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.label.size

    @property
    def correct(self) -> Bools:
        """Whether each prediction is correct, (n,)."""
        return self.label == self.predicted

    @cached_property
    def support(self) -> Numbers:
        """Number of images of each class, (k,)."""
        return np.bincount(self.label, minlength=len(self.classes))

    @cached_property
    def present(self) -> Numbers:
        """The classes that have images in these rows."""
        return np.flatnonzero(self.support)

    @property
    def confidence(self) -> Floats:
        """Probability of the predicted class, (n,)."""
        return self.probability[np.arange(self.n), self.predicted]

    @cached_property
    def malignancy(self) -> "Malignancy":
        """Whether label and prediction of each row with a known diagnosis are malignant."""
        malignant = self.malignant.is_malignant  # (k,)
        known = self.malignant.is_known[self.label]  # (n,)
        return Malignancy(
            classes=self.malignant.malignant,
            excluded_classes=self.malignant.excluded,
            known=known,
            label=malignant[self.label][known],
            predicted=malignant[self.predicted][known],
            score=malignancy_score(self.probability, self.malignant)[known],
        )

    def subset(self, selected: Bools) -> "PredictionArrays":
        """Return some of the rows; ``selected`` has shape (n,)."""
        return replace(
            self,
            label=self.label[selected],
            predicted=self.predicted[selected],
            group=self.group[selected],
            probability=self.probability[selected],
        )


@dataclass(frozen=True)
class Malignancy:
    """Malignancy of classes and rows.

    ``known`` marks the rows with a known diagnosis, shape (n,). ``label``, ``predicted`` and
    ``score`` have one entry for each known row.
    """

    classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]
    known: Bools
    label: Bools
    predicted: Bools
    score: Floats


def prediction_arrays(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    malignant: Sequence[str] | None = None,
) -> PredictionArrays:
    """Check a table of predictions and convert it to arrays.

    Args:
        predictions: As for ``compute_metrics``.
        classes: The class names, in the order of the model.
        malignant: The malignant classes; None: those of the table of diagnoses.

    Raises:
        ValueError: As for ``compute_metrics``.
        InputError: A malignant class is not a class of the model.
    """
    columns = [probability_column(name) for name in classes]
    missing = {"group_id", "label", "predicted", *columns} - set(predictions.columns)
    if missing:
        raise ValueError(
            f"Missing columns in predictions ({sorted(missing)}). "
            "Fix: kedro run --pipelines evaluate"
        )
    if predictions.empty:
        raise ValueError("No predictions to evaluate: the split has no images.")
    if "split" in predictions and predictions["split"].nunique() > 1:
        splits = sorted(predictions["split"].unique())
        raise ValueError(
            f"Predictions of several splits ({splits}). Expected the predictions of one split."
        )
    if predictions["group_id"].isna().any():
        raise ValueError(
            f"Missing group_id ({predictions['group_id'].isna().sum()} predictions). "
            "Expected a group_id for each prediction."
        )
    return PredictionArrays(
        classes=tuple(classes),
        label=_class_numbers(predictions["label"], classes),
        predicted=_class_numbers(predictions["predicted"], classes),
        group=pd.factorize(predictions["group_id"])[0],
        probability=_check_probability(predictions[columns].to_numpy(dtype=np.float64)),
        malignant=malignant_classes(classes, malignant),
    )


def _class_numbers(names: pd.Series, classes: Sequence[str]) -> Numbers:
    numbers = pd.Index(classes).get_indexer(pd.Index(names))
    if (numbers < 0).any():
        unknown = sorted(set(names[numbers < 0].astype(str)))
        raise ValueError(
            f"Unknown classes in column {names.name!r} ({unknown}). Expected classes of the model."
        )
    return numbers


def _check_probability(probability: Floats) -> Floats:
    invalid = ~(
        (probability >= 0).all(axis=1) & (abs(probability.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    )
    if invalid.any():
        raise ValueError(
            f"Invalid probabilities in {invalid.sum()} rows (first: row "
            f"{np.flatnonzero(invalid)[0]}, {probability[invalid][0].tolist()}). "
            "Expected values of at least 0 that sum to 1."
        )
    return probability
