"""Bootstrap intervals for clustered images."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skin_lesions.metrics.intervals import LEVEL, ROUNDING, Estimate, factorize

# Rows times replicates held at once: 4 MiB of int32, and the arrays derived from it fit a cache.
_CHUNK = 2**20
Statistics = Callable[[NDArray[np.int32]], Mapping[str, NDArray[np.float64]]]


def resampled_weights(
    labels: ArrayLike, groups: ArrayLike, replicates: int, seed: int
) -> Iterator[NDArray[np.int32]]:
    """Draw groups with replacement within each class; say how often each row was drawn.

    What is drawn is a cell: the rows that share group and label. Each class keeps its number
    of cells, so no replicate loses a class, and a group whose images carry two labels is two
    cells.

    Args:
        labels: The class of each row, shape (n,), n at least 1.
        groups: The group of each row, shape (n,).
        replicates: How many replicates to draw in all, at least 1.
        seed: Equal seeds and equal rows give equal weights.

    Yields:
        Weights of shape (n, b), one column per replicate; the b sum to ``replicates``.

    Raises:
        ValueError: No rows, no replicates, or the shapes differ.

    Source:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8:
        of nested data, resample the highest level and keep the rest whole.
    """
    n = np.size(labels)
    if n == 0 or replicates < 1:
        raise ValueError(f"need rows and replicates of at least 1, got {n} and {replicates}")
    label, _ = factorize(labels, n)
    group, _ = factorize(groups, n)
    cells, cell = np.unique(np.column_stack([label, group]), axis=0, return_inverse=True)
    cells_of_label = np.bincount(cells[:, 0])  # cells are sorted by label
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n)
    for start in range(0, replicates, chunk):
        b = min(chunk, replicates - start)
        yield np.concatenate([_multiplicities(rng, m, b) for m in cells_of_label])[cell]


def _multiplicities(rng: np.random.Generator, cells: int, b: int) -> NDArray[np.int32]:
    """Return how often each of so many cells comes up in as many draws, shape (cells, b)."""
    drawn = rng.integers(cells, size=(cells, b)) * b + np.arange(b)
    return np.bincount(drawn.ravel(), minlength=cells * b).reshape(cells, b).astype(np.int32)


def bootstrap(
    statistics: Statistics, labels: ArrayLike, groups: ArrayLike, *, replicates: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Compute statistics on replicates of the rows, groups being drawn within each class.

    Args:
        statistics: Takes weights of shape (n, b), whole numbers of at least 0, one column per
            replicate, and returns arrays by name whose last axis has length b.
        labels: The class of each row, shape (n,).
        groups: The group of each row, shape (n,).
        replicates: How many replicates to draw.
        seed: Equal seeds and equal rows give equal replicates.

    Returns:
        The arrays of ``statistics``, the last axis being ``replicates`` long.
    """
    parts = [statistics(w) for w in resampled_weights(labels, groups, replicates, seed)]
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def percentile_estimate(
    value: float, replicates: NDArray[np.float64], n: int, *, level: float = LEVEL
) -> Estimate:
    """Return a statistic with the percentile interval of its bootstrap replicates.

    The interval is widened to hold the value, which the percentiles of few groups can miss.
    It is None where the replicates are all one number: the bootstrap cannot judge such a
    statistic, and a point would claim that it is certain.

    Args:
        value: The statistic of the rows themselves.
        replicates: The statistic of each replicate, shape (replicates,).
        n: The number of rows.
        level: Share of such intervals that should hold the true value.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if np.ptp(replicates) <= ROUNDING:
        return _no_interval(value, n)
    low, high = np.quantile(replicates, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)), n=n)


def reflected_estimate(
    value: float, replicates: NDArray[np.float64], n: int, *, level: float = LEVEL
) -> Estimate:
    """Return a statistic of at least 0 with the reflected ("basic") bootstrap interval.

    For statistics that chance alone pushes upwards, such as a calibration error: replicates
    carry that bias twice, the value once, so the percentiles would lie wholly above the value.
    Reflecting them takes the bias off again. The interval is widened to hold the value. It is None
    where nothing is left of it: of a value of 0, all of it may be reflected to below 0.

    Source:
        Davison and Hinkley (1997), section 5.2; Roelofs et al. (2022), arXiv:2012.08668, for
        the bias of calibration errors.
    """
    low, high = 2 * value - np.quantile(replicates, [0.5 + level / 2, 0.5 - level / 2])
    low, high = max(0.0, min(float(low), value)), max(float(high), value)
    if high - low <= ROUNDING or np.ptp(replicates) <= ROUNDING:
        return _no_interval(value, n)
    return Estimate(value=value, low=low, high=high, n=n)


def _no_interval(value: float, n: int) -> Estimate:
    return Estimate(
        value=value, low=None, high=None, n=n, reason="too few groups per class for an interval"
    )


def row_sums(row: NDArray[np.intp], rows: int, values: ArrayLike = 1) -> sparse.csr_array:
    """Return a matrix that sums weighted values by row: ``row_sums(...) @ weights``.

    Args:
        row: Which sum each of n entries goes to, shape (n,).
        rows: The number of sums.
        values: What is summed, shape (n,) or one number for all; 1 counts.

    Returns:
        A sparse matrix of shape (rows, n); times weights (n, b) it gives the sums (rows, b).
    """
    data = np.broadcast_to(np.asarray(values), row.shape)
    return sparse.csr_array((data, (row, np.arange(row.size))), shape=(rows, row.size))


class RankedScores:
    """Scores of positives and negatives, ranked once, so that AUROC is cheap for many weights.

    Args:
        scores: The higher, the more positive, shape (n,); equal scores count one half.
        positive: Which rows are positive, shape (n,).

    Raises:
        ValueError: There is no positive or no negative row.

    Source:
        Mann and Whitney (1947): AUROC is the share of pairs in which the positive ranks higher.
    """

    def __init__(self, scores: NDArray[np.float64], positive: NDArray[np.bool_]):
        if positive.all() or not positive.any():
            raise ValueError("AUROC needs positive and negative rows")
        negative = np.flatnonzero(~positive)
        self._negative = negative[np.argsort(scores[negative], kind="stable")]
        self._positive = np.flatnonzero(positive)
        ranked = scores[self._negative]
        self._below = np.searchsorted(ranked, scores[self._positive], side="left")
        self._up_to = np.searchsorted(ranked, scores[self._positive], side="right")

    def auroc(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the weighted AUROC of each column of ``weights``, shape (n, b) -> (b,)."""
        negatives = np.zeros((self._negative.size + 1, weights.shape[1]), dtype=np.int64)
        np.cumsum(weights[self._negative], axis=0, out=negatives[1:])
        positives = weights[self._positive]
        half_wins = (positives * (negatives[self._below] + negatives[self._up_to])).sum(axis=0)
        return half_wins / (2 * positives.sum(axis=0, dtype=np.int64) * negatives[-1])
