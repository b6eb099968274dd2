"""Scorecard: the metrics of one split for ``metrics.json``, each with its 95 % interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.metrics import bootstrap, intervals
from skin_lesions.metrics.bootstrap import RankedScores, row_sums
from skin_lesions.metrics.calibration import confidence_bins
from skin_lesions.metrics.classification import Floats, Numbers, Weights, macro_metrics
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable

# Log loss clips smaller probabilities to this value, as scikit-learn does.
SMALLEST = float(np.finfo(np.float64).eps)
# Probabilities stored as 32-bit floats sum to 1 only approximately.
_SUM_TOLERANCE = 1e-3
Bools = NDArray[np.bool_]


def compute_metrics(
    predictions: pd.DataFrame, classes: Sequence[str], replicates: int, seed: int
) -> dict[str, Any]:
    """Compute the metrics of the predictions of one split.

    Accuracy, sensitivity, specificity, and the recall, precision and F1 of a class have Wilson
    intervals at the effective number of images. The other metrics have intervals from one
    bootstrap of groups within class. For means over classes and for AUROC these intervals are
    widened if classes are small (see intervals.py). Values that cannot be computed are None with
    a reason.

    - ``balanced_accuracy``: mean recall of the classes that have images here, as
      scikit-learn's ``balanced_accuracy_score``.
    - ``macro_f1``: mean F1 of the same classes, as scikit-learn's ``f1_score`` with
      ``average="macro"`` and ``labels`` set to them. Without ``labels``, scikit-learn would also
      count each class that was only predicted, with an F1 of 0.
    - ``auroc_macro``: mean of the one-vs-rest AUROC of the same classes.
    - ``log_loss``: nats per image. ``brier``: squared distance to the true class, summed over
      the classes, 0 to 2. ``expected_calibration_error``: of the predicted class, 0 to 1.
    - ``malignant``: malignant diagnoses against the other known ones; premalignant ones count as
      benign. The AUROC uses the summed probability of the malignant classes. Sensitivity and
      specificity use whether the predicted class is malignant. Images of classes that are not in
      diagnoses.py are left out, and ``excluded_classes`` lists these classes.
    - ``confusion``: rows are labels, columns are predictions, both in the order of ``classes``.

    Args:
        predictions: One row per image; requires ``group_id``, ``label``, ``predicted`` and
            ``p_<class>`` for each class.
        classes: The class names, in the order of the model.
        replicates: Number of bootstrap replicates; 1000 give a stable interval.
        seed: Equal seeds and equal rows give equal intervals.

    Returns:
        One entry of ``metrics.json``: plain numbers, strings, lists, dicts and None only.

    Raises:
        ValueError: No rows, rows of several splits, a missing column, a label or prediction
            that is not in ``classes``, or invalid probabilities.
    """
    rows = _prediction_arrays(predictions, classes)
    malignancy = _malignancy(rows)
    resampled = _bootstrap_statistics(rows, malignancy, replicates, seed)
    per_class = [_class_estimates(rows, c, resampled) for c in range(len(classes))]
    estimates = _overall_estimates(rows, resampled, per_class)
    return {
        "n": rows.n,
        "groups": int(np.unique(rows.group).size),
        **{name: estimate.as_dict() for name, estimate in estimates.items()},
        "per_class": {
            name: {
                "support": int(rows.support[c]),
                "correct": int((rows.correct & rows.is_class(c)).sum()),
                **{metric: estimate.as_dict() for metric, estimate in per_class[c].items()},
            }
            for c, name in enumerate(rows.classes)
        },
        "confusion": {"classes": list(rows.classes), "counts": _confusion(rows).tolist()},
        "malignant": _malignant_estimates(rows, malignancy, resampled),
    }


@dataclass(frozen=True)
class _PredictionArrays:
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
        return self.label.size

    @property
    def correct(self) -> Bools:
        return self.label == self.predicted

    @cached_property
    def support(self) -> Numbers:
        return np.bincount(self.label, minlength=len(self.classes))

    @cached_property
    def present(self) -> Numbers:
        """The classes that have images in these rows."""
        return np.flatnonzero(self.support)

    @property
    def confidence(self) -> Floats:
        return self.probability[np.arange(self.n), self.predicted]

    def is_class(self, c: int) -> Bools:
        return self.label == c


def _prediction_arrays(predictions: pd.DataFrame, classes: Sequence[str]) -> _PredictionArrays:
    """Check the table and convert it to arrays."""
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
    return _PredictionArrays(
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


@dataclass(frozen=True)
class _Malignancy:
    """Malignancy of classes and rows.

    ``known`` marks the rows with a known diagnosis, shape (n,). ``label``, ``predicted`` and
    ``score`` have one entry for each known row.
    """

    classes: list[str]
    excluded_classes: list[str]
    known: Bools
    label: Bools
    predicted: Bools
    score: Floats

    @property
    def separable(self) -> bool:
        return bool(self.label.any() and not self.label.all())


def _malignancy(rows: _PredictionArrays) -> _Malignancy:
    """Return whether label and prediction of each row with a known diagnosis are malignant."""
    diagnoses = [diagnosis_of(name) for name in rows.classes]
    malignant = np.array([d is not None and d.malignant for d in diagnoses])
    known = np.array([d is not None for d in diagnoses])[rows.label]
    return _Malignancy(
        classes=[
            name for name, is_malignant in zip(rows.classes, malignant, strict=True) if is_malignant
        ],
        excluded_classes=[
            name for name, d in zip(rows.classes, diagnoses, strict=True) if d is None
        ],
        known=known,
        label=malignant[rows.label][known],
        predicted=malignant[rows.predicted][known],
        score=rows.probability[known][:, malignant].sum(axis=1),
    )


@dataclass(frozen=True)
class _BootstrapResult:
    """Statistics of the original rows, and of their replicates (last axis)."""

    values: Mapping[str, Floats]
    replicates: Mapping[str, Floats]

    def estimate(self, name: str, n: int) -> Estimate:
        value = float(self.values[name][0])
        if name == "expected_calibration_error":
            return bootstrap.reflected_estimate(value, self.replicates[name], n)
        return bootstrap.percentile_estimate(value, self.replicates[name], n)


def _bootstrap_statistics(
    rows: _PredictionArrays, malignancy: _Malignancy, replicates: int, seed: int
) -> _BootstrapResult:
    ranks = {
        f"auroc of {c}": RankedScores(rows.probability[:, c], rows.is_class(c))
        for c in rows.present
        if rows.present.size > 1
    }
    losses, k = _losses(rows), len(rows.classes)
    malignant_ranks = (
        RankedScores(malignancy.score, malignancy.label) if malignancy.separable else None
    )

    def statistics(weights: Weights) -> dict[str, Floats]:
        aurocs = {name: ranked.auroc(weights) for name, ranked in ranks.items()}
        if aurocs:
            aurocs["auroc_macro"] = np.mean(list(aurocs.values()), axis=0)
        if malignant_ranks is not None:
            aurocs["malignant"] = malignant_ranks.auroc(weights[malignancy.known])
        return aurocs | macro_metrics(rows.label, rows.predicted, k, weights) | losses(weights)

    return _BootstrapResult(
        values=statistics(np.ones((rows.n, 1), dtype=np.int32)),
        replicates=bootstrap.bootstrap(
            statistics, rows.label, rows.group, replicates=replicates, seed=seed
        ),
    )


def _confusion(rows: _PredictionArrays) -> Numbers:
    counts = np.zeros((len(rows.classes),) * 2, dtype=np.intp)
    np.add.at(counts, (rows.label, rows.predicted), 1)
    return counts


def _losses(rows: _PredictionArrays) -> Callable[[Weights], dict[str, Floats]]:
    """Return a function that computes log loss, Brier score and calibration error for weights."""
    # Probability of the true class, (n,), and one-hot labels, (n, k).
    label_probability = rows.probability[np.arange(rows.n), rows.label]
    one_hot = np.eye(len(rows.classes))[rows.label]
    one_row = np.zeros(rows.n, dtype=np.intp)
    bins = confidence_bins(rows.confidence)
    log_loss = row_sums(one_row, 1, -np.log(np.clip(label_probability, SMALLEST, 1.0)))
    brier = row_sums(one_row, 1, ((rows.probability - one_hot) ** 2).sum(axis=1))
    # The bins are the same for all replicates: new edges would require a sort per replicate.
    gap_sums = row_sums(bins, int(bins.max()) + 1, rows.correct - rows.confidence)

    def statistics(weights: Weights) -> dict[str, Floats]:
        total = weights.sum(axis=0, dtype=np.int64)
        return {
            "log_loss": (log_loss @ weights)[0] / total,
            "brier": (brier @ weights)[0] / total,
            "expected_calibration_error": abs(gap_sums @ weights).sum(axis=0) / total,
        }

    return statistics


def _class_estimates(
    rows: _PredictionArrays, c: int, resampled: _BootstrapResult
) -> dict[str, Estimate]:
    labeled, predicted = rows.is_class(c), rows.predicted == c
    auroc = unavailable("all images are of this class", rows.n)
    if not labeled.any():
        recall = auroc = unavailable("no images of this class")
    else:
        recall = proportion(predicted[labeled], rows.group[labeled])
        if not labeled.all():
            auroc = _auroc(resampled, f"auroc of {c}", labeled, predicted, rows.group)
    precision = unavailable("no image was predicted as this class")
    if predicted.any():
        precision = proportion(labeled[predicted], rows.group[predicted])
    return {
        "recall": recall,
        "precision": precision,
        "f1": intervals.f1_estimate(labeled, predicted, rows.group),
        "auroc": auroc,
    }


def _auroc(
    resampled: _BootstrapResult, name: str, positive: Bools, predicted: Bools, group: Numbers
) -> Estimate:
    """Return an AUROC whose interval has a width above 0 even if the classes separate perfectly.

    The effective numbers of positives and negatives account for the agreement of images of one
    group. They are computed from the predictions, as for the recall of each.
    """
    estimate = resampled.estimate(name, positive.size)
    positives = intervals.effective_n(predicted[positive], group[positive])
    negatives = intervals.effective_n(predicted[~positive], group[~positive])
    value = float(resampled.values[name][0])
    return intervals.widen(estimate, *intervals.hanley_mcneil(value, positives, negatives))


def _overall_estimates(
    rows: _PredictionArrays,
    resampled: _BootstrapResult,
    per_class: Sequence[Mapping[str, Estimate]],
) -> dict[str, Estimate]:
    def macro(name: str, metric: str) -> Estimate:
        class_estimates = [per_class[c][metric] for c in rows.present]
        return intervals.widen(
            resampled.estimate(name, rows.n), *intervals.mover_interval(class_estimates)
        )

    auroc = unavailable("all images are of one class", rows.n)
    if rows.present.size > 1:
        auroc = macro("auroc_macro", "auroc")
    losses = ("log_loss", "brier", "expected_calibration_error")
    return {
        "accuracy": proportion(rows.correct, rows.group),
        "balanced_accuracy": macro("balanced_accuracy", "recall"),
        "macro_f1": macro("macro_f1", "f1"),
        "auroc_macro": auroc,
        **{name: resampled.estimate(name, rows.n) for name in losses},
    }


def _malignant_estimates(
    rows: _PredictionArrays, malignancy: _Malignancy, resampled: _BootstrapResult
) -> dict[str, Any]:
    label, predicted, group = malignancy.label, malignancy.predicted, rows.group[malignancy.known]
    sensitivity = unavailable("no images of a malignant diagnosis")
    specificity = unavailable("no images of a benign diagnosis")
    auroc = unavailable("requires images of malignant and of benign diagnoses", label.size)
    if label.any():
        sensitivity = proportion(predicted[label], group[label])
    if not label.all():
        specificity = proportion(~predicted[~label], group[~label])
    if malignancy.separable:
        auroc = _auroc(resampled, "malignant", label, predicted, group)
    return {
        "auroc": auroc.as_dict(),
        "sensitivity": sensitivity.as_dict(),
        "specificity": specificity.as_dict(),
        "classes": malignancy.classes,
        "excluded_classes": malignancy.excluded_classes,
    }
