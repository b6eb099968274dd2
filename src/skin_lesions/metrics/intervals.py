"""Estimates with their 95 % intervals, for images of which several may show one lesion.

Images of one group (a lesion, a patient, copies of one picture) tend to be right or wrong
together, so a test set says less than its number of images suggests. Proportions get a Wilson
interval at the effective number of images; every other statistic a bootstrap of groups.

A bootstrap sees only errors that have happened: with three images of a class, all right, it
sees no spread, and intervals of balanced accuracy that should hold the truth in 95 of 100 cases
held it in 45 (AUROC of a class with three images: in 30 to 65). So those intervals are widened
by ones that know small numbers, ``mover`` and ``hanley_mcneil``; where classes are large the
two kinds agree.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse, stats

LEVEL = 0.95
# Rows times replicates held at once: 4 MiB of int32, and the arrays derived from it fit a cache.
_CHUNK = 2**20
# Replicates closer than this are one number: what is left is rounding.
_ROUNDING = 1e-12

Statistics = Callable[[NDArray[np.int32]], Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number, its interval, and what it rests on.

    ``n`` counts rows. Whatever could not be computed is None, and then ``reason`` says why:
    either the value with its interval, or the interval alone.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_effective: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that JSON does not know, and gaps without a reason."""
        numbers = (self.value, self.low, self.high, self.n_effective)
        if not all(number is None or np.isfinite(number) for number in numbers):
            raise ValueError(f"an estimate needs finite numbers or None with a reason, got {self}")
        if None in numbers[:3] and self.reason is None:
            raise ValueError(f"an estimate without value or interval needs a reason, got {self}")

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; ``n_effective`` and ``reason`` only where there is one."""
        entry: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }
        if self.n_effective is not None:
            entry["n_effective"] = self.n_effective
        if self.reason is not None:
            entry["reason"] = self.reason
        return entry


def missing(reason: str, n: int = 0) -> Estimate:
    """Return the estimate of what can't be computed."""
    return Estimate(value=None, low=None, high=None, n=n, reason=reason)


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Unlike the normal interval it stays within 0 and 1 and has a width at 0 and at 1.

    Args:
        share: The observed proportion, 0 to 1.
        n: Number of independent trials; an effective number need not be whole.
        level: Share of such intervals that should hold the true proportion.

    Raises:
        ValueError: ``share`` is outside 0 to 1, or ``n`` is not above 0.

    Source:
        Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a proportion lies between 0 and 1, got {share}")
    if not n > 0:
        raise ValueError(f"a proportion needs more than 0 trials, got {n}")
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and 1 the formula gives the bound itself, but for rounding.
    low = 0.0 if share == 0.0 else max(0.0, float(centre - half))
    high = 1.0 if share == 1.0 else min(1.0, float(centre + half))
    return low, high


def effective_n(success: ArrayLike, groups: ArrayLike | None) -> float:
    """Return how many independent images would tell as much about a proportion.

    The number of images over the design effect: the variance of the proportion when groups
    are drawn (a ratio estimator, linearised) over its variance when single images are.

    - The design effect is at least 1. Images of one lesion cannot tell more than images of
      different lesions do, so an estimate below 1 is chance and would narrow the interval for
      nothing.
    - A variance known from few groups is itself uncertain; as in Korn and Graubard the number
      shrinks by the square of the ratio of the t quantiles.
    - It is never below Kish's (Σm)² / Σm² for groups of m images that are right or wrong as a
      whole, the worst that can be. That is also the answer where the groups show no variance
      to estimate from: all right, all wrong, or one group.

    With one image per group it is exactly the number of images.

    Args:
        success: Right or wrong per image, shape (n,), n at least 1.
        groups: The group of each image, shape (n,); None where each is its own.

    Raises:
        ValueError: No image, or the shapes differ.

    Source:
        Kish (1965), Survey Sampling; Cochran (1977), Sampling Techniques, section 3.12; Korn
        and Graubard (1998), Survey Methodology 24(2), 193-201.
    """
    right = np.asarray(success, dtype=bool)
    n = right.size
    if n == 0 or right.ndim != 1:
        raise ValueError(f"a proportion needs a row of at least one image, got {right.shape}")
    if groups is None:
        return float(n)
    group, sizes = _numbered(groups, n)
    if sizes.size == n:
        return float(n)
    share, worst = right.mean(), float(n**2 / (sizes**2).sum())
    if share in (0.0, 1.0) or sizes.size == 1:
        return worst
    residual = np.bincount(group, weights=right) - share * sizes
    cluster_variance = sizes.size / (sizes.size - 1) * (residual**2).sum() / n**2
    design_effect = cluster_variance / (share * (1 - share) / (n - 1))
    of_images, of_groups = (stats.t.ppf(0.5 + LEVEL / 2, m - 1) for m in (n, sizes.size))
    shrinkage = (of_images / of_groups) ** 2
    return float(max(worst, n / max(1.0, design_effect) * shrinkage))


def _numbered(groups: ArrayLike, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the group number of each row, shape (n,), and the size of each group."""
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(f"groups must have one entry for each of {n} rows, got {names.shape}")
    _, numbers, sizes = np.unique(names, return_inverse=True, return_counts=True)
    return numbers, sizes


def proportion(success: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """Return the share of successes with a Wilson interval at the effective number of images.

    With one image per group this is the plain Wilson interval.

    Args:
        success: Right or wrong per image, shape (n,); with none the value is None.
        groups: The group of each image, shape (n,); None where each is its own.
    """
    right = np.asarray(success, dtype=bool)
    if right.size == 0:
        return missing("no images to take a share of")
    share, effective = float(right.mean()), effective_n(right, groups)
    low, high = wilson(share, effective)
    return Estimate(value=share, low=low, high=high, n=right.size, n_effective=effective)


def f1(is_class: ArrayLike, called_class: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """Return the F1 of one class with an interval that has a width at 0 and at 1 as well.

    F1 = 2J / (1 + J), where J is the share of hits among the images that are of the class or
    were called it. J is a proportion and F1 rises with it, so the interval of J carries over.

    Args:
        is_class: Whether an image is of the class, shape (n,); with none F1 is None.
        called_class: Whether it was predicted as the class, shape (n,).
        groups: The group of each image, shape (n,); None where each is its own.

    Returns:
        The estimate; ``n`` counts the images that are of the class or were called it.

    Source:
        Lam, Gopal and Qian (2023), arXiv:2309.14621, the "Wilson indirect" interval.
    """
    true, called = np.asarray(is_class, dtype=bool), np.asarray(called_class, dtype=bool)
    if not true.any():
        return missing("no images of this class")
    either = true | called
    names = None if groups is None else np.asarray(groups)[either]
    hit = (true & called)[either]
    share, effective = float(hit.mean()), effective_n(hit, names)
    low, high = wilson(share, effective)
    return Estimate(
        value=_f1_of(share),
        low=_f1_of(low),
        high=_f1_of(high),
        n=hit.size,
        n_effective=effective,
    )


def _f1_of(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


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
    label, _ = _numbered(labels, n)
    group, _ = _numbered(groups, n)
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
    if np.ptp(replicates) <= _ROUNDING:
        return _unjudged(value, n)
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
    if high - low <= _ROUNDING or np.ptp(replicates) <= _ROUNDING:
        return _unjudged(value, n)
    return Estimate(value=value, low=low, high=high, n=n)


def _unjudged(value: float, n: int) -> Estimate:
    return Estimate(
        value=value, low=None, high=None, n=n, reason="too few groups per class for an interval"
    )


def widened(estimate: Estimate, low: float, high: float) -> Estimate:
    """Return the estimate with an interval that also holds ``low`` to ``high``."""
    lows = [bound for bound in (estimate.low, low) if bound is not None]
    highs = [bound for bound in (estimate.high, high) if bound is not None]
    return replace(estimate, low=min(lows), high=max(highs), reason=None)


def mover(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return an interval of the mean of independent estimates from the interval of each.

    The distances from value to bound add up as standard errors do: by their squares.

    Args:
        estimates: At least one, each with value and interval, which need not be symmetric.

    Raises:
        ValueError: There is no estimate, or one has no value or no interval.

    Source:
        Zou and Donner (2008), doi:10.1002/sim.3095 (method of variance estimates recovery).
    """
    triples = [(e.value, e.low, e.high) for e in estimates]
    if not triples or any(None in triple for triple in triples):
        raise ValueError(f"need estimates that all have value and interval, got {estimates}")
    value, low, high = np.array(triples, dtype=np.float64).T
    below, above = np.linalg.norm(value - low), np.linalg.norm(high - value)
    return float(value.mean() - below / value.size), float(value.mean() + above / value.size)


def hanley_mcneil(
    auroc: float, positives: float, negatives: float, level: float = LEVEL
) -> tuple[float, float]:
    """Return an interval of an AUROC that has a width at 0 and at 1 and with few positives.

    It holds every AUROC that is within z standard errors of the observed one, the standard
    error being the one at *that* AUROC, as in Wilson's interval of a proportion, which it is
    for one positive and one negative.

    Args:
        auroc: The observed AUROC, 0 to 1.
        positives: Number of independent positives; an effective number need not be whole.
        negatives: Number of independent negatives.
        level: Share of such intervals that should hold the true AUROC.

    Raises:
        ValueError: ``auroc`` is outside 0 to 1, or there are fewer than 1 of either kind.

    Source:
        Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747, for the standard error;
        Newcombe (2006), doi:10.1002/sim.2324, for solving for the bounds.
    """
    if not 0.0 <= auroc <= 1.0:
        raise ValueError(f"an AUROC lies between 0 and 1, got {auroc}")
    if not (positives >= 1 and negatives >= 1):
        raise ValueError(f"AUROC needs 1 of either kind, got {positives} and {negatives}")
    z = float(stats.norm.ppf(0.5 + level / 2))

    def beyond(candidate: float) -> float:
        # Their Q1 - A² and Q2 - A², with A (1 - A) taken out lest they cancel near 0 and 1.
        pairs_of_positives = (positives - 1) * (1 - candidate) / (2 - candidate)
        pairs_of_negatives = (negatives - 1) * candidate / (1 + candidate)
        trials = positives * negatives / (1 + pairs_of_positives + pairs_of_negatives)
        variance = candidate * (1 - candidate) / trials
        return (auroc - candidate) ** 2 - z**2 * variance

    inside = min(max(auroc, _ROUNDING), 1 - _ROUNDING)
    low = 0.0 if auroc == 0.0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if auroc == 1.0 else float(optimize.brentq(beyond, inside, 1.0))
    return low, high


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
