"""Calibration: expected and class-wise error, their size by chance, and overconfidence."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import special

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.metric import ClassMetric, Metric
from skin_lesions.evaluation.scorecard.model import (
    BeforeScaling,
    CalibrationMetrics,
    RangeByChance,
)
from skin_lesions.metrics.bootstrap import row_sums
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
    rows: PredictionArrays, seed: int, temperature: float | None
) -> CalibrationMetrics:
    """Compute the calibration errors by chance, the overconfidence, and the effect of scaling.

    Args:
        rows: The predictions.
        seed: Equal seeds and equal rows give equal results.
        temperature: The fitted temperature of the probabilities; None leaves the values before
            temperature scaling out.
    """
    before = None
    if temperature is not None:
        unscaled = replace(rows, probability=undo_temperature(rows.probability, temperature))
        before = BeforeScaling(
            temperature=temperature,
            expected_calibration_error=_estimate(unscaled),
            classwise_calibration_error=_classwise_estimate(unscaled),
            overconfidence=_overconfidence(unscaled),
        )
    return CalibrationMetrics(
        error_by_chance=_range(_errors_by_chance(rows, np.random.default_rng(seed))),
        classwise_error_by_chance=_range(
            _classwise_errors_by_chance(rows, np.random.default_rng(seed))
        ),
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


def _errors_by_chance(rows: PredictionArrays, rng: np.random.Generator) -> Floats:
    """Simulate calibration errors of a model whose confidences are the true probabilities.

    An image is right if its normal variable is below the quantile of its confidence.

    Returns:
        (SIMULATIONS,) expected calibration errors.
    """
    quantile = special.ndtri(rows.confidence)[:, None]  # (n, 1)
    bins = confidence_bins(rows.confidence)
    in_bins = row_sums(bins, int(bins.max()) + 1)
    confidence_sums = np.bincount(bins, weights=rows.confidence)[:, None]  # (bins, 1)
    errors = []
    for latent in _correlated_normals(rows, rng):
        hits = in_bins @ (latent < quantile).astype(np.int32)  # (bins, b)
        errors.append(np.abs(hits - confidence_sums).sum(axis=0) / rows.n)
    return np.concatenate(errors)


def _classwise_errors_by_chance(rows: PredictionArrays, rng: np.random.Generator) -> Floats:
    """Simulate class-wise calibration errors of a model whose probabilities are the true ones.

    The label of an image is the class whose part of the cumulative probabilities contains the
    normal distribution function of its normal variable.

    Returns:
        (SIMULATIONS,) class-wise calibration errors.
    """
    k = len(rows.classes)
    # Quantiles at which the parts of the classes end, (n, k + 1). Rounding moves the sum of all
    # probabilities away from 1, so the last one is set.
    ends = special.ndtri(np.minimum(np.cumsum(rows.probability, axis=1), 1.0))
    ends = np.column_stack([np.full(rows.n, -np.inf), ends])
    ends[:, -1] = np.inf
    of_classes = []
    for c in range(k):
        bins = confidence_bins(rows.probability[:, c])
        expected = np.bincount(bins, weights=rows.probability[:, c])[:, None]  # (bins, 1)
        of_classes.append((row_sums(bins, int(bins.max()) + 1), expected))
    errors = []
    for latent in _correlated_normals(rows, rng):
        total = np.zeros(latent.shape[1])
        below = latent < ends[:, :1]
        for c, (in_bins, expected) in enumerate(of_classes):
            below_end = latent < ends[:, c + 1 : c + 2]  # (n, b)
            hits = in_bins @ (below_end & ~below).astype(np.int32)  # (bins, b)
            total += np.abs(hits - expected).sum(axis=0) / rows.n
            below = below_end
        errors.append(total / k)
    return np.concatenate(errors)


def _correlated_normals(rows: PredictionArrays, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw a standard normal variable of each image for each simulation.

    Images of one group are right or wrong together. The variable of an image is therefore
    sqrt(r) · (variable of the group) + sqrt(1 - r) · (variable of the image), where r is the
    correlation of the real outcomes of a group.

    Yields:
        Variables of shape (n, b); the b sum to ``SIMULATIONS``.
    """
    correlation = _correlation_within_groups(rows)
    num_groups = int(rows.group.max()) + 1
    chunk = max(1, _CHUNK // rows.n)  # simulations in memory at once
    for start in range(0, SIMULATIONS, chunk):
        b = min(chunk, SIMULATIONS - start)
        latent = np.sqrt(1 - correlation) * rng.normal(size=(rows.n, b))
        if correlation > 0:
            latent += np.sqrt(correlation) * rng.normal(size=(num_groups, b))[rows.group]
        yield latent


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
