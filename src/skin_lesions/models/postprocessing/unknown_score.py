"""Unknown score: how little an image resembles the training images.

It is high for images that belong to none of the classes, for example photographs of other objects.
``benchmarks/unknown_score.py`` compares the three methods. Their statistics are fitted on training
images, and the threshold on validation images. Both are saved in the model file.
"""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
UnknownMethod = Literal["mahalanobis", "nearest_neighbors", "energy"]

# Limits of the size in the model file, which is 4 bytes for each number. With f features and k
# classes, the statistics have (MAX_DIRECTIONS + k) * f or MAX_NEIGHBORS_PER_CLASS * k * f numbers:
# 0.4 MB or 3.6 MB for EfficientNet-Lite0 (f = 1,280) and 14 classes.
MAX_DIRECTIONS = 64
MAX_NEIGHBORS_PER_CLASS = 50
NEIGHBOR = 5  # the distance to the fifth neighbor is more stable than that to the first one
# Images of the training for one estimated direction. Variances of directions that are estimated
# from fewer images are too small or too large.
_IMAGES_PER_DIRECTION = 4
# Smallest variance of a direction, relative to the mean square of the features. It prevents a
# division by zero for features that are constant within each class.
_MIN_RELATIVE_VARIANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array in the model file: its shape, and its numbers as little-endian float32 in Base64."""

    shape: tuple[int, ...]
    float32_base64: str

    @classmethod
    def encode(cls, array: Floats) -> "StoredArray":
        """Store an array; numbers are rounded to 32 bits."""
        content = np.ascontiguousarray(array, dtype="<f4").tobytes()
        return cls(shape=array.shape, float32_base64=base64.b64encode(content).decode("ascii"))

    def decode(self) -> Floats:
        """Return the array."""
        content = base64.b64decode(self.float32_base64)
        return np.frombuffer(content, dtype="<f4").reshape(self.shape).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class UnknownStatistics:
    """Statistics of the training images that the unknown score compares an image with.

    Attributes:
        method: The method, as in ``train.unknown_score.method``.
        n: Number of training images that they were fitted on.
        arrays: Arrays by name; see the functions of each method.
    """

    method: UnknownMethod
    n: int
    arrays: Mapping[str, StoredArray]


@dataclass(frozen=True, kw_only=True)
class UnknownScoreFit:
    """A fitted unknown score.

    Attributes:
        statistics: Statistics of training images.
        threshold: Images with a higher score are flagged as unknown.
        flagged_fraction: Fraction of the validation images that are flagged.
        n: Number of validation images.
    """

    statistics: UnknownStatistics
    threshold: float
    flagged_fraction: float
    n: int

    def __post_init__(self) -> None:
        """Check that the threshold is a number, which a comparison requires."""
        if not np.isfinite(self.threshold):
            raise ValueError(f"The threshold of the unknown score is {self.threshold}")


def fit_unknown_statistics(
    method: UnknownMethod, features: Floats, labels: NDArray[np.integer], seed: int
) -> UnknownStatistics:
    """Fit the statistics of a method on training images.

    Args:
        method: ``mahalanobis``, ``nearest_neighbors`` or ``energy``.
        features: Penultimate features, (n, f), n at least 1.
        labels: Class numbers, (n,).
        seed: Seed of the selection of neighbors, if a class has more than are stored.

    Raises:
        ValueError: The shapes do not match, or a feature is not finite.
    """
    if features.ndim != 2 or features.shape[0] < 1 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"Features must be (images, features) with one label for each image, got "
            f"{features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("Some penultimate features are not finite. Expected finite numbers.")
    arrays: dict[str, Floats] = {}
    if method == "mahalanobis":
        arrays = _fit_mahalanobis(features, labels)
    elif method == "nearest_neighbors":
        arrays = {"neighbors": _select_neighbors(normalize(features), labels, seed)}
    stored = {name: StoredArray.encode(array) for name, array in arrays.items()}
    return UnknownStatistics(method=method, n=features.shape[0], arrays=stored)


class UnknownScorer:
    """Computes unknown scores; the statistics are decoded once."""

    def __init__(self, statistics: UnknownStatistics) -> None:
        self._method = statistics.method
        self._arrays = {name: array.decode() for name, array in statistics.arrays.items()}

    def scores(self, logits: Floats, features: Floats) -> Floats:
        """Return the unknown score of each image, (n,); a higher score is less like the training.

        Args:
            logits: Outputs of the network before calibration, (n, k).
            features: Penultimate features, (n, f).
        """
        if self._method == "energy":
            # Liu et al. (2020), arXiv:2010.03759, with temperature 1: -log Σ_k exp(logit_k).
            return -np.asarray(logsumexp(logits, axis=1), np.float64)
        if self._method == "nearest_neighbors":
            return _neighbor_distances(normalize(features), self._arrays["neighbors"])
        return _mahalanobis_distances(features, self._arrays)


def fit_threshold(
    statistics: UnknownStatistics, scores: Floats, flagged_fraction: float
) -> UnknownScoreFit:
    """Fit the threshold that flags at most this fraction of the validation images.

    Args:
        statistics: Statistics that the scores were computed with.
        scores: Unknown scores of the validation images, (n,), n at least 1.
        flagged_fraction: The fraction, below 1.
    """
    threshold = float(np.quantile(scores, 1 - flagged_fraction, method="higher"))
    flagged = scores > threshold
    log.info(
        "Unknown score (%s): threshold %.4g flags %d of %d validation images",
        statistics.method,
        threshold,
        flagged.sum(),
        flagged.size,
    )
    return UnknownScoreFit(
        statistics=statistics,
        threshold=threshold,
        flagged_fraction=float(flagged.mean()),
        n=flagged.size,
    )


def normalize(features: Floats) -> Floats:
    """Return the features of each image divided by their length; zeros stay zeros, (n, f)."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)


def _fit_mahalanobis(x: Floats, labels: NDArray[np.integer]) -> dict[str, Floats]:
    """Fit class means and one covariance matrix for all classes.

    The covariance has the form of probabilistic PCA: the variances of the first r directions are
    estimated, all others have their mean variance. This is a shrinkage, because f features need
    many more than f images, and limits the size: r * f numbers instead of f².

    Returns:
        ``means`` (classes, f), ``directions`` (f, r) with orthonormal columns, ``variances`` (r,)
        along them, and ``residual_variance`` (1,) along all others.

    Source:
        Lee et al. (2018), arXiv:1807.03888, for the score; Tipping and Bishop (1999),
        doi:10.1111/1467-9868.00196, for the covariance.
    """
    classes, number = np.unique(labels, return_inverse=True)
    n, f = x.shape
    means = np.stack([x[number == c].mean(axis=0) for c in range(classes.size)])  # (classes, f)
    centered = x - means[number]
    # Rows of `basis` are eigenvectors of the covariance, Σ centered² / n; at most min(n, f).
    _, lengths, basis = np.linalg.svd(centered, full_matrices=False)
    eigenvalues = lengths**2 / n
    r = min(MAX_DIRECTIONS, n // _IMAGES_PER_DIRECTION, f - 1)
    smallest = max(_MIN_RELATIVE_VARIANCE * (x**2).mean(), float(np.finfo(np.float32).tiny))
    residual = eigenvalues[r:].sum() / (f - r)
    return {
        "means": means,
        "directions": basis[:r].T,
        "variances": np.maximum(eigenvalues[:r], smallest),
        "residual_variance": np.array([max(residual, smallest)]),
    }


def _mahalanobis_distances(x: Floats, arrays: Mapping[str, Floats]) -> Floats:
    """Return the squared Mahalanobis distance to the nearest class mean, divided by f, (n,)."""
    distances = []
    for mean in arrays["means"]:
        deviation = x - mean  # (n, f)
        along = deviation @ arrays["directions"]  # (n, r)
        residual = (deviation**2).sum(axis=1) - (along**2).sum(axis=1)
        distances.append(
            (along**2 / arrays["variances"]).sum(axis=1)
            # Rounding errors of the difference could be below 0.
            + np.maximum(residual, 0.0) / arrays["residual_variance"][0]
        )
    return np.min(distances, axis=0) / x.shape[1]


def _select_neighbors(x: Floats, labels: NDArray[np.integer], seed: int) -> Floats:
    """Return the features of some training images of each class, (neighbors, f)."""
    rng = np.random.default_rng(seed)
    selected = [
        rng.permutation(np.flatnonzero(labels == c))[:MAX_NEIGHBORS_PER_CLASS]
        for c in np.unique(labels)
    ]
    return x[np.concatenate(selected)]


def _neighbor_distances(x: Floats, neighbors: Floats) -> Floats:
    """Return the distance to the fifth nearest training image, or to the last of fewer, (n,).

    Source:
        Sun et al. (2022), arXiv:2204.06507.
    """
    # |a - b|² = |a|² + |b|² - 2 a·b, (n, neighbors); rounding errors could be below 0.
    squared = (x**2).sum(axis=1)[:, None] + (neighbors**2).sum(axis=1) - 2 * x @ neighbors.T
    rank = min(NEIGHBOR, neighbors.shape[0]) - 1
    return np.sqrt(np.maximum(np.partition(squared, rank, axis=1)[:, rank], 0.0))
