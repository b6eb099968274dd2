"""Calibration: expected and class-wise error, their size by chance, and overconfidence."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import special

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays
from skin_lesions.evaluation.scorecard.metric import ClassMetric, Metric
from skin_lesions.evaluation.scorecard.model import (
    BeforeScaling,
    CalibrationMetrics,
    RangeByChance,
)
from skin_lesions.metrics.bootstrap import RowSums, row_sums
from skin_lesions.metrics.calibration import (
    class_calibration_error,
    confidence_bins,
    expected_calibration_error,
)
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import LEVEL, Estimate, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence
from skin_lesions.models.postprocessing.temperature import undo_temperature

SIMULATIONS = 1000  # simulated outcomes of calibrated probabilities
_CHUNK = 2**21  # images times simulations in memory at once


def calibration_metrics(
    rows: PredictionArrays,
    seed: int,
    temperature: float | None,
    log_prior: Floats | None = None,
) -> CalibrationMetrics:
    """Compute the calibration errors by chance, the overconfidence, and the effect of scaling.

    Args:
        rows: The predictions.
        seed: Equal seeds and equal rows give equal results.
        temperature: The fitted temperature of the probabilities; None leaves the values before
            temperature scaling out.
        log_prior: Logarithm of the class frequencies that was added to the logits after the
            temperature, (k,); None if none was.
    """
    before = None
    if temperature is not None:
        probability = undo_temperature(rows.probability, temperature, log_prior)
        unscaled = replace(rows, probability=probability)
        before = BeforeScaling(
            temperature=temperature,
            expected_calibration_error=_estimate(unscaled),
            classwise_calibration_error=_classwise_estimate(unscaled),
            overconfidence=_overconfidence(unscaled),
        )
    expected, classwise = _errors_by_chance(rows, np.random.default_rng(seed))
    return CalibrationMetrics(
        error_by_chance=_range(expected),
        classwise_error_by_chance=_range(classwise),
        overconfidence=_overconfidence(rows),
        before_scaling=before,
    )


def _overconfidence(rows: PredictionArrays) -> Estimate:
    excess = rows.confidence - rows.correct  # (n,)
    value = float(excess.mean())
    interval = linearized_error(mean_influence(excess), rows.group).interval(value)
    return unite(value, rows.n, [interval], lowest=-1.0)


def _range(simulated: Floats) -> RangeByChance:
    low, median, high = np.quantile(simulated, [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2]).tolist()
    return RangeByChance(median=median, low=low, high=high)


def _errors_by_chance(rows: PredictionArrays, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Simulate calibration errors of a model whose probabilities are the true ones.

    Each simulation draws a standard normal variable of each image. An image is right if its
    variable is below the quantile of its confidence. Its label is the class whose part of the
    cumulative probabilities contains the normal distribution function of the variable.

    Images of one group are right or wrong together. The variable of an image is therefore
    sqrt(r) · (variable of the group) + sqrt(1 - r) · (variable of the image), where r is the
    correlation of the real outcomes of a group.

    Returns:
        Expected and class-wise calibration errors, (SIMULATIONS,) each.
    """
    correlation = _correlation_within_groups(rows)
    num_groups = int(rows.group.max()) + 1
    confidence = special.ndtri(rows.confidence)[:, None]  # (n, 1)
    ends = _quantiles_of_cumulative(rows.probability)  # (n, k + 1)
    of_confidence = _Bins.of(rows.confidence)
    of_classes = [_Bins.of(rows.probability[:, c]) for c in range(len(rows.classes))]
    chunk = max(1, _CHUNK // rows.n)  # simulations in memory at once
    expected_errors, classwise_errors = [], []
    for start in range(0, SIMULATIONS, chunk):
        b = min(chunk, SIMULATIONS - start)
        latent = np.sqrt(1 - correlation) * rng.normal(size=(rows.n, b))
        if correlation > 0:
            latent += np.sqrt(correlation) * rng.normal(size=(num_groups, b))[rows.group]
        expected_errors.append(of_confidence.errors(latent < confidence))
        total = np.zeros(b)
        below = latent < ends[:, :1]
        for c, bins in enumerate(of_classes):
            below_end = latent < ends[:, c + 1 : c + 2]  # (n, b)
            total += bins.errors(below_end & ~below)
            below = below_end
        classwise_errors.append(total / len(of_classes))
    return np.concatenate(expected_errors), np.concatenate(classwise_errors)


def _quantiles_of_cumulative(probability: Floats) -> Floats:
    """Return the normal quantiles at which the part of each class starts and ends, (n, k + 1)."""
    ends = special.ndtri(np.minimum(np.cumsum(probability, axis=1), 1.0))
    ends = np.column_stack([np.full(len(ends), -np.inf), ends])
    ends[:, -1] = np.inf  # rounding moves the sum of all probabilities away from 1
    return np.asarray(ends, np.float64)


@dataclass(frozen=True)
class _Bins:
    """Bins of one probability per image.

    Attributes:
        sums: Matrix that sums the images of each bin, (bins, n).
        expected: Sum of the probabilities in each bin, (bins, 1).
        n: Number of images.
    """

    sums: RowSums
    expected: Floats
    n: int

    @classmethod
    def of(cls, probability: Floats) -> Self:
        bins = confidence_bins(probability)
        expected = np.bincount(bins, weights=probability).astype(np.float64)[:, None]
        return cls(row_sums(bins, int(bins.max()) + 1), expected, probability.size)

    def errors(self, outcomes: Bools) -> Floats:
        """Return the calibration error of each simulation, (n, b) -> (b,)."""
        hits = self.sums @ outcomes.astype(np.int32)  # (bins, b)
        return np.asarray(np.abs(hits - self.expected).sum(axis=0) / self.n, np.float64)


def _correlation_within_groups(rows: PredictionArrays) -> float:
    """Return the mean product of correct - confidence of two images of a group, 0 to 1.

    It is divided by the mean square. Without groups of several images it is 0.
    """
    residual = rows.correct - rows.confidence
    sums = np.bincount(rows.group, weights=residual)
    squares = float((residual**2).sum())
    sizes = np.bincount(rows.group)
    pairs = int((sizes * (sizes - 1)).sum())  # ordered pairs of images of one group
    if pairs == 0 or squares == 0:
        return 0.0
    mean_product = (float((sums**2).sum()) - squares) / pairs
    return float(np.clip(mean_product / (squares / rows.n), 0.0, 1.0))


def _estimate(rows: PredictionArrays) -> Estimate:
    return Estimate(
        value=expected_calibration_error(rows.confidence, rows.correct),
        low=None,
        high=None,
        n=rows.n,
        reason="no interval: compare with the error by chance",
    )


def _class_estimate(rows: PredictionArrays, c: int) -> Estimate:
    return Estimate(
        value=class_calibration_error(rows.probability[:, c], rows.label == c),
        low=None,
        high=None,
        n=rows.n,
        reason="no interval: chance alone makes it larger than 0",
    )


def _classwise_estimate(rows: PredictionArrays) -> Estimate:
    k = len(rows.classes)
    errors = [class_calibration_error(rows.probability[:, c], rows.label == c) for c in range(k)]
    return Estimate(
        value=float(np.mean(errors)),
        low=None,
        high=None,
        n=rows.n,
        reason="no interval: compare with the error by chance",
        classes_evaluated=k,
    )


CALIBRATION_ERROR = Metric(
    key="expected_calibration_error",
    name="Calibration error",
    format="decimal",
    meaning="Mean distance between confidence and accuracy (ECE). 0 is best, but chance alone "
    "makes it larger.",
    estimate=lambda evaluation: _estimate(evaluation.rows),
)
CLASSWISE_CALIBRATION_ERROR = Metric(
    key="classwise_calibration_error",
    name="Class-wise calibration error",
    format="decimal",
    meaning="Mean distance between the probability of a class and its frequency, averaged over all "
    "classes. 0 is best, but chance alone makes it larger.",
    estimate=lambda evaluation: _classwise_estimate(evaluation.rows),
)
CLASS_CALIBRATION_ERROR = ClassMetric(
    key="calibration_error",
    name="Calibration error",
    format="decimal",
    meaning="Mean distance between the probability of the class and its frequency.",
    estimate=_class_estimate,
)
