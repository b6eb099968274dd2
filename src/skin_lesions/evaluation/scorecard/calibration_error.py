"""Calibration: expected calibration error, its size by chance, and overconfidence."""

import numpy as np
from scipy import special

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.metric import Metric
from skin_lesions.evaluation.scorecard.model import CalibrationMetrics, RangeByChance
from skin_lesions.metrics.bootstrap import row_sums
from skin_lesions.metrics.calibration import confidence_bins, expected_calibration_error
from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.intervals import LEVEL, Estimate, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence

SIMULATIONS = 1000  # simulated outcomes of calibrated probabilities
_CHUNK = 2**21  # images times simulations in memory at once


def calibration_metrics(rows: PredictionArrays, seed: int) -> CalibrationMetrics:
    """Compute the calibration error by chance, and the difference of confidence and accuracy.

    Args:
        rows: The predictions.
        seed: Equal seeds and equal rows give equal results.
    """
    by_chance = _errors_by_chance(rows, np.random.default_rng(seed))
    low, median, high = np.quantile(by_chance, [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2]).tolist()
    excess = rows.confidence - rows.correct  # (n,)
    value = float(excess.mean())
    interval = linearized_error(mean_influence(excess), rows.group).interval(value)
    return CalibrationMetrics(
        error_by_chance=RangeByChance(median=median, low=low, high=high),
        overconfidence=unite(value, rows.n, [interval], lowest=-1.0),
    )


def _errors_by_chance(rows: PredictionArrays, rng: np.random.Generator) -> Floats:
    """Simulate calibration errors of a model whose confidences are the true probabilities.

    Images of one group are right or wrong together. The simulated outcomes of a group have the
    same correlation r as the real ones: an image is right if its normal variable
    sqrt(r) · (variable of the group) + sqrt(1 - r) · (variable of the image) is below the quantile
    of its confidence.

    Returns:
        (SIMULATIONS,) expected calibration errors.
    """
    correlation = _correlation_within_groups(rows)
    num_groups = int(rows.group.max()) + 1
    quantile = special.ndtri(rows.confidence)[:, None]  # (n, 1)
    bins = confidence_bins(rows.confidence)
    in_bins = row_sums(bins, int(bins.max()) + 1)
    confidence_sums = np.bincount(bins, weights=rows.confidence)[:, None]  # (bins, 1)
    chunk = max(1, _CHUNK // rows.n)  # simulations in memory at once
    errors = []
    for start in range(0, SIMULATIONS, chunk):
        b = min(chunk, SIMULATIONS - start)
        latent = np.sqrt(1 - correlation) * rng.normal(size=(rows.n, b))
        if correlation > 0:
            latent += np.sqrt(correlation) * rng.normal(size=(num_groups, b))[rows.group]
        hits = in_bins @ (latent < quantile).astype(np.int32)  # (bins, b)
        errors.append(np.abs(hits - confidence_sums).sum(axis=0) / rows.n)
    return np.concatenate(errors)


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


CALIBRATION_ERROR = Metric(
    key="expected_calibration_error",
    name="Calibration error",
    format="decimal",
    meaning="Mean distance between confidence and accuracy (ECE). 0 is best, but chance alone "
    "makes it larger.",
    estimate=lambda evaluation: _estimate(evaluation.rows),
)
