"""Estimates with 95 % confidence intervals for clustered images.

Images of one group (a lesion, a patient, near-duplicates of one image) tend to be right or wrong
together, so a test set carries less information than its number of images suggests. Proportions
and the F1 of a class get a Wilson interval at the effective number of images. All other
statistics get an interval by linearization (linearization.py).

Linearization shows no variance where no error occurred, so its intervals are too narrow for small
classes. They are therefore united with intervals that are valid for small numbers:
``mover_interval`` and ``hanley_mcneil``. For large classes both kinds of interval agree.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer
from pydantic.dataclasses import dataclass
from scipy import optimize, stats

LEVEL = 0.95
# Differences up to this size are treated as rounding errors.
ROUNDING = 1e-12
# Figures and tables mark numbers of fewer images than this.
FEW_IMAGES = 30


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its interval and sample size.

    ``n`` is the number of rows. ``classes_evaluated`` is the number of classes behind a mean over
    classes, None for other statistics. Values that cannot be computed are None: either the value
    and its interval, or only the interval. ``reason`` then contains the cause.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_effective: float | None = None
    reason: str | None = None
    classes_evaluated: int | None = None

    def __post_init__(self) -> None:
        """Check that all numbers are valid in JSON, and that missing values have a reason."""
        numbers = (self.value, self.low, self.high, self.n_effective)
        if not all(number is None or np.isfinite(number) for number in numbers):
            raise ValueError(
                f"Estimate with a number that is not finite ({self}). "
                "Expected finite numbers, or None with a reason."
            )
        if None in numbers[:3] and self.reason is None:
            raise ValueError(f"Estimate without value or interval ({self}). Expected a reason.")

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave the optional fields out of the JSON form if they are not set."""
        entry: dict[str, object] = serialize(self)
        return {
            key: value
            for key, value in entry.items()
            if value is not None or key not in ("n_effective", "reason", "classes_evaluated")
        }


def unavailable(reason: str, n: int = 0) -> Estimate:
    """Return an estimate that has no value, with the reason."""
    return Estimate(value=None, low=None, high=None, n=n, reason=reason)


def percent_text(estimate: Estimate) -> str:
    """Return a fraction with its interval in whole percent, for a finding."""
    if estimate.value is None:
        return "an unknown fraction"
    value = fraction_text(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def fraction_text(fraction: float) -> str:
    """Return a fraction in whole percent.

    >>> fraction_text(0.253)
    '25 %'
    """
    return f"{100 * fraction:.0f} %"


def wilson_interval(observed: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Unlike the normal interval, it stays within 0 and 1 and has a width above 0 at 0 and at 1.

    Args:
        observed: The observed proportion, 0 to 1.
        n: Number of independent trials; an effective number need not be an integer.
        level: Confidence level: the fraction of such intervals that should contain the true
            proportion.

    Raises:
        ValueError: ``observed`` is outside 0 to 1, or ``n`` is not above 0.

    Source:
        Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if not 0.0 <= observed <= 1.0:
        raise ValueError(f"Invalid proportion ({observed}). Expected a value from 0 to 1.")
    if not n > 0:
        raise ValueError(f"Invalid number of trials for a proportion ({n}). Expected more than 0.")
    # Bounds: all proportions p with |observed - p| <= z sqrt(p (1 - p) / n). The quadratic
    # equation in p has the solutions center ± half.
    z = float(stats.norm.ppf(0.5 + level / 2))
    center = (observed + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(observed * (1 - observed) / n + z**2 / (4 * n**2))
    # At 0 and 1 the formula gives exactly 0 and 1, except for rounding errors.
    low = 0.0 if observed == 0.0 else max(0.0, float(center - half))
    high = 1.0 if observed == 1.0 else min(1.0, float(center + half))
    return low, high


def effective_n(success: ArrayLike, groups: ArrayLike | None) -> float:
    """Return the number of independent images with the same information about a proportion.

    It is the number of images divided by the design effect: the variance of the proportion if
    groups are drawn (a linearized ratio estimator) over its variance if single images are drawn.

    - The design effect is at least 1. Images of one lesion cannot carry more information than
      images of different lesions. An estimate below 1 is due to chance, and would narrow the
      interval without reason.
    - A variance estimated from few groups is itself uncertain. As in Korn and Graubard, the
      number is multiplied by the squared ratio of the t quantiles.
    - The number is at least Kish's (Σm)² / Σm² for groups of m images. This is the worst case, in
      which all images of a group are right or all are wrong. It is also the result if the groups
      show no variance to estimate from: all right, all wrong, or one group.

    With one image per group it is exactly the number of images.

    Args:
        success: Whether each image is right, shape (n,), n at least 1.
        groups: The group of each image, shape (n,). None: each image is its own group.

    Raises:
        ValueError: No image, or the shapes differ.

    Source:
        Kish (1965), Survey Sampling; Cochran (1977), Sampling Techniques, section 3.12; Korn
        and Graubard (1998), Survey Methodology 24(2), 193-201.
    """
    right = np.asarray(success, dtype=bool)
    n = right.size
    if n == 0 or right.ndim != 1:
        raise ValueError(
            f"Invalid outcomes for a proportion (shape {right.shape}). "
            "Expected one dimension and at least one image."
        )
    if groups is None:
        return float(n)
    group, sizes = factorize(groups, n)
    if sizes.size == n:
        return float(n)
    observed = right.mean()
    # Kish: (Σm)² / Σm², the number of independent images if all images of a group are equal.
    worst = float(n**2 / (sizes**2).sum())
    if observed in (0.0, 1.0) or sizes.size == 1:
        return worst
    # Linearized ratio estimator: residual of each group, (groups,), is its number of successes
    # minus the expected number. Variance = k / (k - 1) · Σ residual² / n² for k groups.
    residual = np.bincount(group, weights=right) - observed * sizes
    cluster_variance = sizes.size / (sizes.size - 1) * (residual**2).sum() / n**2
    # Variance of the proportion p if single images are drawn: p (1 - p) / (n - 1).
    design_effect = cluster_variance / (observed * (1 - observed) / (n - 1))
    # Ratio of the t quantiles with n - 1 and with k - 1 degrees of freedom; at most 1.
    t_of_images = stats.t.ppf(0.5 + LEVEL / 2, n - 1)
    t_of_groups = stats.t.ppf(0.5 + LEVEL / 2, sizes.size - 1)
    shrinkage = (t_of_images / t_of_groups) ** 2
    return float(max(worst, n / max(1.0, design_effect) * shrinkage))


def factorize(groups: ArrayLike, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the group number of each row, shape (n,), and the size of each group."""
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(
            f"Invalid groups (shape {names.shape}). Expected one entry for each of {n} rows."
        )
    _, numbers, sizes = np.unique(names, return_inverse=True, return_counts=True)
    return numbers, sizes


def proportion(success: ArrayLike, groups: ArrayLike | None = None) -> Estimate:
    """Return the fraction of successes with a Wilson interval at the effective number of images.

    With one image per group this is the plain Wilson interval.

    Args:
        success: Whether each image is right, shape (n,). The value is None if there are no images.
        groups: The group of each image, shape (n,). None: each image is its own group.
    """
    right = np.asarray(success, dtype=bool)
    if right.size == 0:
        return unavailable("no images to compute a proportion from")
    observed = float(right.mean())
    effective = effective_n(right, groups)
    low, high = wilson_interval(observed, effective)
    return Estimate(value=observed, low=low, high=high, n=right.size, n_effective=effective)


def f1_estimate(
    is_class: ArrayLike, predicted_class: ArrayLike, groups: ArrayLike | None = None
) -> Estimate:
    """Return the F1 of one class with an interval that also has a width above 0 at 0 and at 1.

    F1 = 2J / (1 + J), where J is the fraction of hits among the images that are of the class or
    are predicted as the class (Jaccard index). J is a proportion and F1 increases with J, so the
    bounds of J are transformed to bounds of F1.

    Args:
        is_class: Whether an image is of the class, shape (n,). F1 is None if no image is.
        predicted_class: Whether it is predicted as the class, shape (n,).
        groups: The group of each image, shape (n,). None: each image is its own group.

    Returns:
        The estimate; ``n`` counts the images that are of the class or are predicted as the class.

    Source:
        Lam, Gopal and Qian (2023), arXiv:2309.14621, the "Wilson indirect" interval.
    """
    true = np.asarray(is_class, dtype=bool)
    predicted = np.asarray(predicted_class, dtype=bool)
    if not true.any():
        return unavailable("no images of this class")
    # The images that count for the class: hits, misses and false alarms.
    either = true | predicted
    names = None if groups is None else np.asarray(groups)[either]
    hit = (true & predicted)[either]
    observed = float(hit.mean())  # Jaccard index
    effective = effective_n(hit, names)
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
    """Return the estimate with its interval extended to contain ``low`` to ``high``."""
    lows = [bound for bound in (estimate.low, low) if bound is not None]
    highs = [bound for bound in (estimate.high, high) if bound is not None]
    return replace(estimate, low=min(lows), high=max(highs), reason=None)


def unite(
    value: float,
    n: int,
    intervals: Sequence[tuple[float, float] | None],
    *,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> Estimate:
    """Return a value with the smallest interval that contains the value and all intervals.

    Args:
        value: The value of a statistic.
        n: Number of rows.
        intervals: The intervals; None where one cannot be computed.
        lowest: Lower limit of the statistic.
        highest: Upper limit of the statistic.
    """
    known = [interval for interval in intervals if interval is not None]
    if not known:
        reason = "all groups agree, so the data show no variance"
        return Estimate(value=value, low=None, high=None, n=n, reason=reason)
    low = min(value, *(interval[0] for interval in known))
    high = max(value, *(interval[1] for interval in known))
    return Estimate(value=value, low=max(lowest, low), high=min(highest, high), n=n)


def mover_interval(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return an interval of the mean of independent estimates, from their intervals.

    The distances from value to bound are added like standard errors: by their squares.

    Args:
        estimates: At least one. Each has a value and an interval, which need not be symmetric.

    Raises:
        ValueError: There is no estimate, or one has no value or no interval.

    Source:
        Zou and Donner (2008), doi:10.1002/sim.3095 (method of variance estimates recovery).
    """
    triples = [(e.value, e.low, e.high) for e in estimates]
    if not triples or any(None in triple for triple in triples):
        raise ValueError(
            f"Missing value or interval ({estimates}). "
            "Expected estimates that all have value and interval."
        )
    value, low, high = np.array(triples, dtype=np.float64).T  # (estimates,) each
    # Mean of k values: its distance is the root of the summed squares, divided by k.
    below = np.linalg.norm(value - low) / value.size
    above = np.linalg.norm(high - value) / value.size
    return float(value.mean() - below), float(value.mean() + above)


def hanley_mcneil(
    auroc: float, positives: float, negatives: float, level: float = LEVEL
) -> tuple[float, float]:
    """Return an interval of an AUROC, valid at 0, at 1 and for few positives.

    It contains every candidate AUROC whose distance from the observed one is at most z standard
    errors. The standard error is the one at the *candidate*, as in Wilson's interval of a
    proportion. For one positive and one negative the two intervals are identical.

    Args:
        auroc: The observed AUROC, 0 to 1.
        positives: Number of independent positives; an effective number need not be an integer.
        negatives: Number of independent negatives.
        level: Confidence level: the fraction of such intervals that should contain the true AUROC.

    Raises:
        ValueError: ``auroc`` is outside 0 to 1, or there are fewer than 1 of either kind.

    Source:
        Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747, for the standard error;
        Newcombe (2006), doi:10.1002/sim.2324, for solving for the bounds.
    """
    if not 0.0 <= auroc <= 1.0:
        raise ValueError(f"Invalid AUROC ({auroc}). Expected a value from 0 to 1.")
    if not (positives >= 1 and negatives >= 1):
        raise ValueError(
            f"Too few positives or negatives ({positives} and {negatives}). "
            "Expected at least 1 of each."
        )
    z = float(stats.norm.ppf(0.5 + level / 2))

    def squared_excess(candidate: float) -> float:
        return (auroc - candidate) ** 2 - z**2 * auroc_variance(candidate, positives, negatives)

    # The excess is 0 at a bound: (auroc - A)² = z² · variance at A. It is negative at the observed
    # AUROC and positive at 0 and at 1. brentq needs a sign change, so the bracket starts strictly
    # between 0 and 1.
    inside = min(max(auroc, ROUNDING), 1 - ROUNDING)
    low = 0.0 if auroc == 0.0 else float(optimize.brentq(squared_excess, 0.0, inside))
    high = 1.0 if auroc == 1.0 else float(optimize.brentq(squared_excess, inside, 1.0))
    return low, high


def auroc_variance(auroc: float, positives: float, negatives: float) -> float:
    """Return the variance of an AUROC for these numbers of independent positives and negatives.

    Source:
        Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747.
    """
    # Q1 - A² and Q2 - A² of the source, divided by A (1 - A): avoids cancellation near 0 and 1.
    pairs_of_positives = (positives - 1) * (1 - auroc) / (2 - auroc)
    pairs_of_negatives = (negatives - 1) * auroc / (1 + auroc)
    trials = positives * negatives / (1 + pairs_of_positives + pairs_of_negatives)
    return auroc * (1 - auroc) / trials
