"""Predictions of one split as arrays, and the statistics that the bootstrap repeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.metrics.bootstrap import RankedScores, RowSums, row_sums
from skin_lesions.metrics.classification import Floats, Numbers, Weights, macro_metrics

# Probabilities stored as 32-bit floats sum to 1 only approximately.
_SUM_TOLERANCE = 1e-3
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PredictionArrays:
    """Predictions as arrays: n rows, k classes; classes are integers from 0 to k - 1.

    ``label``, ``predicted`` and ``group`` have shape (n,), ``probability`` has shape (n, k).
    """

    classes: tuple[str, ...]
    label: Numbers
    predicted: Numbers
    group: Numbers
    probability: Floats

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
        diagnoses = [diagnosis_of(name) for name in self.classes]
        malignant = np.array([d is not None and d.malignant for d in diagnoses])  # (k,)
        known = np.array([d is not None for d in diagnoses])[self.label]  # (n,)
        named = list(zip(self.classes, diagnoses, strict=True))
        return Malignancy(
            classes=tuple(name for name, d in named if d is not None and d.malignant),
            excluded_classes=tuple(name for name, d in named if d is None),
            known=known,
            label=malignant[self.label][known],
            predicted=malignant[self.predicted][known],
            score=self.probability[known][:, malignant].sum(axis=1),
        )

    @cached_property
    def class_ranks(self) -> list[RankedScores]:
        """Ranked probabilities of each present class; empty if only one class is present."""
        if self.present.size < 2:
            return []
        return [RankedScores(self.probability[:, c], self.label == c) for c in self.present]

    def sum_matrix(self, values: Floats) -> RowSums:
        """Return the (1, n) matrix whose product with weights (n, b) is a weighted sum."""
        return row_sums(np.zeros(self.n, dtype=np.intp), 1, values)


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

    @cached_property
    def ranks(self) -> RankedScores | None:
        """Ranked scores; None without malignant or without benign images."""
        if self.label.all() or not self.label.any():
            return None
        return RankedScores(self.score, self.label)


@dataclass(frozen=True)
class Resample:
    """Rows and how often each counts in b replicates: ``weights`` has shape (n, b)."""

    rows: PredictionArrays
    weights: Weights

    @cached_property
    def total(self) -> NDArray[np.int64]:
        """Number of images in each replicate, (b,)."""
        return np.asarray(self.weights.sum(axis=0, dtype=np.int64))

    @cached_property
    def class_means(self) -> dict[str, Floats]:
        """Balanced accuracy and macro F1 of each replicate, (b,)."""
        rows = self.rows
        return macro_metrics(rows.label, rows.predicted, len(rows.classes), self.weights)

    @cached_property
    def class_aurocs(self) -> Floats:
        """One-vs-rest AUROC of each present class, (present, b)."""
        return np.array([ranks.auroc(self.weights) for ranks in self.rows.class_ranks])

    def weighted_mean(self, values: Floats) -> Floats:
        """Return the mean of one value per row, (n,), in each replicate, (b,)."""
        return np.asarray((self.rows.sum_matrix(values) @ self.weights)[0] / self.total)


def prediction_arrays(predictions: pd.DataFrame, classes: Sequence[str]) -> PredictionArrays:
    """Check a table of predictions and convert it to arrays.

    Raises:
        ValueError: As for ``compute_metrics``.
    """
    columns = [f"p_{name}" for name in classes]
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
