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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

LEVEL = 0.95
# Differences up to this size are rounding errors.
ROUNDING = 1e-12


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


def unavailable(reason: str, n: int = 0) -> Estimate:
    """Return the estimate of what can't be computed."""
    return Estimate(value=None, low=None, high=None, n=n, reason=reason)


def wilson_interval(observed: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Unlike the normal interval it stays within 0 and 1 and has a width at 0 and at 1.

    Args:
        observed: The observed proportion, 0 to 1.
        n: Number of independent trials; an effective number need not be whole.
        level: Share of such intervals that should hold the true proportion.

    Raises:
        ValueError: ``share`` is outside 0 to 1, or ``n`` is not above 0.

    Source:
        Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if not 0.0 <= observed <= 1.0:
        raise ValueError(f"a proportion lies between 0 and 1, got {observed}")
    if not n > 0:
        raise ValueError(f"a proportion needs more than 0 trials, got {n}")
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2))
    # At 0 and 1 the formula gives the bound itself, but for rounding.
    low = 0.0 if observed == 0.0 else max(0.0, float(centre - half))
    high = 1.0 if observed == 1.0 else min(1.0, float(centre + half))
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
    group, sizes = factorize(groups, n)
    if sizes.size == n:
        return float(n)
    observed, worst = right.mean(), float(n**2 / (sizes**2).sum())
    if observed in (0.0, 1.0) or sizes.size == 1:
        return worst
    residual = np.bincount(group, weights=right) - observed * sizes
    cluster_variance = sizes.size / (sizes.size - 1) * (residual**2).sum() / n**2
    design_effect = cluster_variance / (observed * (1 - observed) / (n - 1))
    of_images, of_groups = (stats.t.ppf(0.5 + LEVEL / 2, m - 1) for m in (n, sizes.size))
    shrinkage = (of_images / of_groups) ** 2
    return float(max(worst, n / max(1.0, design_effect) * shrinkage))


def factorize(groups: ArrayLike, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
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
        return unavailable("no images to take a share of")
    observed, effective = float(right.mean()), effective_n(right, groups)
    low, high = wilson_interval(observed, effective)
    return Estimate(value=observed, low=low, high=high, n=right.size, n_effective=effective)


def f1_estimate(
    is_class: ArrayLike, called_class: ArrayLike, groups: ArrayLike | None = None
) -> Estimate:
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
        return unavailable("no images of this class")
    either = true | called
    names = None if groups is None else np.asarray(groups)[either]
    hit = (true & called)[either]
    observed, effective = float(hit.mean()), effective_n(hit, names)
    low, high = wilson_interval(observed, effective)
    return Estimate(
        value=_f1_of(observed),
        low=_f1_of(low),
        high=_f1_of(high),
        n=hit.size,
        n_effective=effective,
    )


def _f1_of(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def widen(estimate: Estimate, low: float, high: float) -> Estimate:
    """Return the estimate with an interval that also holds ``low`` to ``high``."""
    lows = [bound for bound in (estimate.low, low) if bound is not None]
    highs = [bound for bound in (estimate.high, high) if bound is not None]
    return replace(estimate, low=min(lows), high=max(highs), reason=None)


def mover_interval(estimates: Sequence[Estimate]) -> tuple[float, float]:
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

    inside = min(max(auroc, ROUNDING), 1 - ROUNDING)
    low = 0.0 if auroc == 0.0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if auroc == 1.0 else float(optimize.brentq(beyond, inside, 1.0))
    return low, high
