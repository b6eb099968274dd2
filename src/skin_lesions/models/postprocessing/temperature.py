"""Temperature scaling: fitted on validation logits, applied to logits of any split.

The softmax of a network is for certain class frequencies, see ``probabilities``. The temperature T
is fitted for probabilities for the frequencies p of the training images. With the frequencies q
that the softmax is for and the frequencies f of the validation images, it minimizes

    Σ w · -log softmax(logits / T + log p - log q)[label],  w = p[label] / f[label],

over the validation images. The weights are near 1 if both splits have similar frequencies.
"""

import logging
import math
from collections.abc import Callable
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

    Attributes:
        temperature: The temperature.
        nll_before: Weighted mean of the negative log-likelihood at temperature 1, nats per image.
        nll_after: The same at ``temperature``.
        n: Number of images.
        n_effective: Number of equally weighted images with the same information, (Σw)² / Σw².
    """

    temperature: float
    nll_before: float
    nll_after: float
    n: int
    n_effective: float


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    frequencies: ArrayLike | None = None,
    log_ratio: ArrayLike = 0.0,
) -> TemperatureFit:
    """Fit the temperature that minimizes the negative log-likelihood of the labels.

    One temperature applies to all classes. It makes the softmax softer or sharper. Fit it on
    validation rows, never on test rows.

    Classes without images say nothing about the temperature. With ``frequencies`` they are left out
    of the softmax, which is then the probability of a class among those with images.

    Args:
        logits: Outputs of the network before softmax, shape (n, k), n at least 1, k at least 2.
        labels: Class numbers, 0 to k - 1, shape (n,).
        frequencies: Class frequencies that the probabilities are for, above 0, shape (k,). The
            images are weighted to have these frequencies. None: all images have equal weights, and
            no class is left out.
        log_ratio: Added to the scaled logits, as in ``softmax_with_temperature``.

    Returns:
        The fit. Its temperature is within ``TEMPERATURE_BOUNDS``. It is 1 if no other value is
        better, or if the label of each row has the highest logit. In that case sharper is always
        better, which is no information about other rows.

    Raises:
        ValueError: The shapes do not match, a logit or frequency is not finite, a frequency is not
            above 0, or a label is out of range.

    Source:
        Guo et al. (2017), arXiv:1706.04599.
    """
    scores = _check_logits(logits)
    classes = _check_labels(labels, scores.shape)
    ratio = np.broadcast_to(np.asarray(log_ratio, dtype=np.float64), scores.shape[1:])  # (k,)
    weights = np.ones(classes.size)  # (n,)
    if frequencies is not None:
        counts = np.bincount(classes, minlength=scores.shape[1])  # (k,)
        present = np.flatnonzero(counts)
        of_class = _check_frequencies(frequencies, counts.size) / np.maximum(counts, 1)  # (k,)
        weights = of_class[classes] / of_class[classes].mean()
        scores, ratio = scores[:, present], ratio[present]
        classes = np.searchsorted(present, classes)

    def nll(temperature: float) -> float:
        """Return the weighted mean of the negative log-likelihood, in nats per image."""
        log_probability = log_softmax(scores / temperature + ratio, axis=1)
        of_label = log_probability[np.arange(classes.size), classes]
        return -float(np.average(of_label, weights=weights))

    before = after = nll(1.0)
    temperature = 1.0
    if (scores.argmax(axis=1) == classes).all():
        log.warning(
            "All %d validation images are classified correctly: nothing to calibrate, so the "
            "temperature stays 1",
            classes.size,
        )
    else:
        temperature = _minimize(nll)
        after = nll(temperature)
        if after >= before:
            temperature, after = 1.0, before
    if not TEMPERATURE_BOUNDS[0] * 1.001 < temperature < TEMPERATURE_BOUNDS[1] / 1.001:
        log.warning(
            "Temperature %.3g is at a bound of the allowed range %g to %g: %d images do not "
            "determine it reliably",
            *(temperature, *TEMPERATURE_BOUNDS, classes.size),
        )
    return TemperatureFit(
        temperature=temperature,
        nll_before=before,
        nll_after=after,
        n=classes.size,
        n_effective=float(weights.sum() ** 2 / (weights**2).sum()),
    )


def _minimize(nll: Callable[[float], float]) -> float:
    """Return the temperature with the smallest negative log-likelihood."""
    # The search is over log T, so that T and 1 / T are treated equally.
    result = minimize_scalar(
        lambda log_temperature: nll(math.exp(log_temperature)),
        bounds=(math.log(TEMPERATURE_BOUNDS[0]), math.log(TEMPERATURE_BOUNDS[1])),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return math.exp(float(result.x))


def softmax_with_temperature(
    logits: ArrayLike, temperature: float, log_ratio: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Return ``softmax(logits / temperature + log_ratio)`` of each row, in float64, shape (n, k).

    Args:
        logits: Outputs of the network before softmax, shape (n, k).
        temperature: The temperature.
        log_ratio: Logarithm of the ratio of new and old class frequencies, shape (k,). A constant
            added to all classes has no effect.

    Raises:
        ValueError: The logits are not a finite (n, k) array, or the temperature is not above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"The temperature must be finite and above 0, got {temperature}")
    scores = _check_logits(logits) / temperature + np.asarray(log_ratio, dtype=np.float64)
    return np.asarray(softmax(scores, axis=1), dtype=np.float64)


def _check_frequencies(frequencies: ArrayLike, k: int) -> NDArray[np.float64]:
    values = np.asarray(frequencies, dtype=np.float64)
    if values.shape != (k,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"Class frequencies must be {k} finite values above 0, got {values}")
    return values


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
