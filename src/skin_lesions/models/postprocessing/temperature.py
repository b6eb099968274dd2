"""Temperature scaling: fitted on validation logits, applied to logits of any split."""

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

log = logging.getLogger(__name__)
# No unit. Networks need about 0.5 to 5. A fit that reaches a bound has too few errors as data.
TEMPERATURE_BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, kw_only=True)
class TemperatureFit:
    """A fitted temperature and its effect on the rows it was fitted on.

    ``nll_before`` and ``nll_after`` are mean negative log-likelihoods in nats per image, at
    temperature 1 and at ``temperature``. ``n`` is the number of images.
    """

    temperature: float
    nll_before: float
    nll_after: float
    n: int


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> TemperatureFit:
    """Fit the temperature that minimizes the negative log-likelihood of the labels.

    One temperature applies to all classes. It makes the probabilities softer or sharper and never
    changes the predicted class. Fit it on validation rows, never on test rows.

    Args:
        logits: Outputs of the network before softmax, shape (n, k), n at least 1, k at least 2.
        labels: Class numbers, 0 to k - 1, shape (n,).

    Returns:
        The fit. Its temperature is within ``TEMPERATURE_BOUNDS``. It is 1 if no other value is
        better, or if all rows are classified correctly. In that case sharper is always better,
        which is no information about other rows.

    Raises:
        ValueError: The shapes do not match, a logit is not finite, or a label is out of range.

    Source:
        Guo et al. (2017), arXiv:1706.04599.
    """
    scores = _check_logits(logits)
    classes = _check_labels(labels, scores.shape)
    before = _nll(scores, classes, 1.0)
    if (scores.argmax(axis=1) == classes).all():
        log.warning(
            "All %d validation images are classified correctly: nothing to calibrate, so the "
            "temperature stays 1",
            classes.size,
        )
        return TemperatureFit(temperature=1.0, nll_before=before, nll_after=before, n=classes.size)
    # The search is over log T, so that T and 1 / T are treated equally.
    result = minimize_scalar(
        lambda log_temperature: _nll(scores, classes, math.exp(log_temperature)),
        bounds=(math.log(TEMPERATURE_BOUNDS[0]), math.log(TEMPERATURE_BOUNDS[1])),
        method="bounded",
        options={"xatol": 1e-8},
    )
    temperature, after = math.exp(float(result.x)), float(result.fun)
    if after >= before:
        temperature, after = 1.0, before
    if not TEMPERATURE_BOUNDS[0] * 1.001 < temperature < TEMPERATURE_BOUNDS[1] / 1.001:
        log.warning(
            "Temperature %.3g is at a bound of the allowed range %g to %g: %d images do not "
            "determine it reliably",
            *(temperature, *TEMPERATURE_BOUNDS, classes.size),
        )
    return TemperatureFit(
        temperature=temperature, nll_before=before, nll_after=after, n=classes.size
    )


def softmax_with_temperature(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Return ``softmax(logits / temperature)`` of each row, in float64, shape (n, k).

    Raises:
        ValueError: The logits are not a finite (n, k) array, or the temperature is not above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"The temperature must be finite and above 0, got {temperature}")
    return np.asarray(softmax(_check_logits(logits) / temperature, axis=1), dtype=np.float64)


def undo_temperature(
    probabilities: NDArray[np.float64],
    temperature: float,
    log_prior: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the probabilities at temperature 1, (n, k), from those at a fitted temperature.

    Probabilities p = softmax(z / T + log prior) determine the logits z = T (log p - log prior), up
    to a constant of each row. The result is softmax(z + log prior).

    Args:
        probabilities: Calibrated probabilities, (n, k), each row sums to 1.
        temperature: The fitted temperature T.
        log_prior: Logarithm of the class prior that was added after the temperature, (k,); None if
            none was.
    """
    prior = np.zeros(probabilities.shape[1]) if log_prior is None else log_prior
    # A probability below the smallest normal number has lost its digits. It stays negligible.
    smallest = float(np.finfo(np.float64).tiny)
    logits = temperature * (np.log(np.maximum(probabilities, smallest)) - prior)
    return np.asarray(softmax(logits + prior, axis=1), np.float64)


def _check_logits(logits: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise ValueError(f"Logits must be (images, at least 2 classes), got {scores.shape}")
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise ValueError(f"{bad.size} rows of logits are not finite, the first is row {bad[0]}")
    return scores


def _check_labels(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    classes = np.asarray(labels)
    if classes.shape != shape[:1] or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(
            f"Labels must be {shape[0]} class numbers, one per row of logits, "
            f"got {classes.dtype} of shape {classes.shape}"
        )
    if classes.min() < 0 or classes.max() >= shape[1]:
        raise ValueError(
            f"Labels must be between 0 and {shape[1] - 1}, got {classes.min()} to {classes.max()}"
        )
    return classes.astype(np.intp)


def _nll(logits: NDArray[np.float64], labels: NDArray[np.intp], temperature: float) -> float:
    """Return the mean negative log-likelihood, in nats per image."""
    log_probability = log_softmax(logits / temperature, axis=1)
    return -float(log_probability[np.arange(labels.size), labels].mean())
