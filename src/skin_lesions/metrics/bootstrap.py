"""Bootstrap confidence intervals for clustered images.

Images of one group (a lesion, a patient, near-duplicates of one image) tend to be right or wrong
together. The bootstrap therefore draws groups, not images, within each class.

A bootstrap sees only errors that occurred. If all three images of a class are right, it sees no
variance. Its intervals of balanced accuracy should then contain the true value in 95 of 100 cases,
but did so in 45. The shortcut probes therefore widen them with ``intervals.mover_interval``;
benchmarks/simulations.py records both. The metrics of a model use ``linearization`` instead.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skin_lesions.metrics.intervals import LEVEL, ROUNDING, Estimate, factorize

# Rows times replicates in memory at once: 4 MiB of int32. The arrays derived from it fit the cache.
_CHUNK = 2**20
Statistics = Callable[[NDArray[np.int32]], Mapping[str, NDArray[np.float64]]]


def resampled_weights(
    labels: ArrayLike, groups: ArrayLike, replicates: int, seed: int
) -> Iterator[NDArray[np.int32]]:
    """Draw groups with replacement within each class, and return how often each row was drawn.

    The unit that is drawn is a cell: all rows with the same group and label. Each class keeps its
    number of cells, so no replicate loses a class. A group whose images have two labels is two
    cells.

    Args:
        labels: The class of each row, shape (n,), n at least 1.
        groups: The group of each row, shape (n,).
        replicates: Total number of replicates, at least 1.
        seed: Equal seeds and equal rows give equal weights.

    Yields:
        Weights of shape (n, b), one column per replicate; the b sum to ``replicates``.

    Raises:
        ValueError: No rows, no replicates, or the shapes differ.

    Source:
        Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8:
        for nested data, resample the highest level and keep the lower levels complete.
    """
    n = np.size(labels)
    if n == 0 or replicates < 1:
        raise ValueError(
            f"Too few rows or replicates ({n} and {replicates}). Expected at least 1 of each."
        )
    label, _ = factorize(labels, n)
    group, _ = factorize(groups, n)
    # cells: (cells, 2) label and group of each cell, sorted by label; cell: (n,) its number.
    cells, cell = np.unique(np.column_stack([label, group]), axis=0, return_inverse=True)
    cells_of_label = np.bincount(cells[:, 0])  # (labels,)
    rng = np.random.default_rng(seed)
    # Replicates are drawn in chunks, so that memory does not grow with their number.
    chunk = max(1, _CHUNK // n)
    for start in range(0, replicates, chunk):
        b = min(chunk, replicates - start)
        # (cells, b), one block of rows per label; ``cell`` expands it to (n, b).
        multiplicities = np.concatenate([_multiplicities(rng, m, b) for m in cells_of_label])
        yield multiplicities[cell]


def _multiplicities(rng: np.random.Generator, cells: int, b: int) -> NDArray[np.int32]:
    """Draw ``cells`` times from ``cells`` cells, and return the counts, shape (cells, b)."""
    # Cell c of replicate r has the number c * b + r, so that one bincount counts all replicates.
    drawn = rng.integers(cells, size=(cells, b)) * b + np.arange(b)
    return np.bincount(drawn.ravel(), minlength=cells * b).reshape(cells, b).astype(np.int32)


def bootstrap(
    statistics: Statistics, labels: ArrayLike, groups: ArrayLike, *, replicates: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Compute statistics on bootstrap replicates, with groups drawn within each class.

    Args:
        statistics: Function of weights of shape (n, b), integers of at least 0, one column per
            replicate. It returns arrays by name whose last axis has length b.
        labels: The class of each row, shape (n,).
        groups: The group of each row, shape (n,).
        replicates: Number of replicates.
        seed: Equal seeds and equal rows give equal replicates.

    Returns:
        The arrays of ``statistics``, whose last axis has length ``replicates``.
    """
    chunks = [statistics(w) for w in resampled_weights(labels, groups, replicates, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks], axis=-1) for name in chunks[0]}


def percentile_estimate(
    value: float, replicates: NDArray[np.float64], n: int, *, level: float = LEVEL
) -> Estimate:
    """Return a statistic with the percentile interval of its bootstrap replicates.

    The interval is widened to contain the value, which the percentiles of few groups can miss. It
    is None if all replicates are equal: the bootstrap then has no information, and an interval of
    width 0 would claim certainty.

    Args:
        value: The statistic of the original rows.
        replicates: The statistic of each replicate, shape (replicates,).
        n: The number of rows.
        level: Confidence level: the fraction of such intervals that should contain the true value.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if np.ptp(replicates) <= ROUNDING:
        return _no_interval(value, n)
    # For a level of 0.95: the quantiles 0.025 and 0.975.
    low, high = np.quantile(replicates, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(value=value, low=float(min(low, value)), high=float(max(high, value)), n=n)


def _no_interval(value: float, n: int) -> Estimate:
    return Estimate(
        value=value, low=None, high=None, n=n, reason="too few groups per class for an interval"
    )


class RowSums(Protocol):
    """A matrix for weighted sums by row."""

    def __matmul__(self, weights: NDArray[np.int32], /) -> NDArray[np.int64 | np.float64]:
        """Return the sums for each column of the weights: (n, b) -> (rows, b)."""


def row_sums(row: NDArray[np.intp], rows: int, values: ArrayLike = 1) -> RowSums:
    """Return a sparse matrix for weighted sums by row: ``row_sums(...) @ weights``.

    Args:
        row: The index of the sum that each of n entries belongs to, shape (n,).
        rows: The number of sums.
        values: The values to sum, shape (n,) or one number for all. With 1, the sums are counts.

    Returns:
        A sparse matrix of shape (rows, n). Multiplied by weights (n, b), it gives sums (rows, b).
    """
    # Entry i is in row ``row[i]`` and column i, so row r of the product sums the entries of r.
    data = np.broadcast_to(np.asarray(values), row.shape)
    matrix = sparse.csr_array((data, (row, np.arange(row.size))), shape=(rows, row.size))
    return cast("RowSums", matrix)  # the types of SciPy do not know the type of a product
