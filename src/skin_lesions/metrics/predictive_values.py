"""Predictive values at a stated prevalence, and the net benefit of a decision."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from skin_lesions.metrics.intervals import LEVEL, Estimate, effective_n, unavailable, unite
from skin_lesions.metrics.linearization import Floats, linearized_error

Bools = NDArray[np.bool_]


def predictive_value(
    called: Bools, positive: Bools, group: NDArray[np.intp], prevalence: float
) -> Estimate:
    """Return the positive predictive value of a decision at a stated prevalence.

    It is a = sensitivity, b = 1 - specificity and π = prevalence in a π / (a π + b (1 - π)). On the
    logit scale that is log(a / b) + logit(π), so the interval of log(a / b) gives the one of every
    prevalence. The interval by linearization is united with the adjusted logit interval of Mercaldo
    et al. It is valid if a or b is 0 or 1, and uses effective numbers of images.

    The negative predictive value is that of the opposite decision, label and prevalence:
    ``predictive_value(~called, ~positive, group, 1 - prevalence)``.

    Args:
        called: Which images the decision calls positive, (n,).
        positive: Which images are positive, (n,); both kinds must occur.
        group: The group of each image, (n,).
        prevalence: Fraction of positives in the stated population, between 0 and 1.

    Returns:
        The estimate. It has no value if no image is called positive.

    Source:
        Mercaldo, Lau and Zhou (2007), doi:10.1002/sim.2677.
    """
    n = positive.size
    if not called.any():
        return unavailable("no image is on this side of the threshold", n)
    a, b = float(called[positive].mean()), float(called[~positive].mean())
    value = a * prevalence / (a * prevalence + b * (1 - prevalence))
    ratio_intervals = [_adjusted_log_ratio(called, positive, group)]
    if a > 0 and b > 0:
        # Influence of each image on log(a / b): (outcome - a) / (a P) for P positives, and
        # -(outcome - b) / (b N) for N negatives.
        influence = np.where(
            positive,
            (called - a) / (a * positive.sum()),
            -(called - b) / (b * (~positive).sum()),
        )
        linearized = linearized_error(influence, group).interval(math.log(a / b))
        if linearized is not None:
            ratio_intervals.append(linearized)
    shift = float(special.logit(prevalence))
    intervals = [
        (float(special.expit(low + shift)), float(special.expit(high + shift)))
        for low, high in ratio_intervals
    ]
    return unite(value, n, intervals)


def _adjusted_log_ratio(
    called: Bools, positive: Bools, group: NDArray[np.intp]
) -> tuple[float, float]:
    """Return the 95 % interval of log(a / b) after half of z² images are added to each cell."""
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    center, variance = 0.0, 0.0
    for kind, sign in ((positive, 1.0), (~positive, -1.0)):
        n = effective_n(called[kind], group[kind])
        adjusted = (float(called[kind].mean()) * n + z**2 / 2) / (n + z**2)
        center += sign * math.log(adjusted)
        # Variance of log(p): (1 - p) / (p n).
        variance += (1 - adjusted) / (adjusted * (n + z**2))
    distance = z * math.sqrt(variance)
    return center - distance, center + distance


def benefits(called: Bools, positive: Bools, threshold_probability: float) -> Floats:
    """Return the net benefit of a decision for each image, (n,); its mean is the net benefit.

    A true positive counts 1. A false positive counts minus the odds of the threshold probability:
    a person who acts at a risk of 10 % accepts nine false positives for one true positive.

    Args:
        called: Which images the decision calls positive, (n,).
        positive: Which images are positive, (n,).
        threshold_probability: Risk above which one would act, between 0 and 1.

    Source:
        Vickers and Elkin (2006), doi:10.1177/0272989X06295361.
    """
    odds = threshold_probability / (1 - threshold_probability)
    return np.where(called, np.where(positive, 1.0, -odds), 0.0)
