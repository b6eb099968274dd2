"""Partial AUROC above a minimum sensitivity.

It is the area between the ROC curve and the line of the minimum sensitivity: the mean specificity
over the sensitivities from the minimum to 1, times their range. A minimum of 0.8 gives the metric
of the ISIC 2024 challenge, 0 to 0.2.

Source:
    McClish (1989), doi:10.1177/0272989X8900900307; Kurtansky et al. (2024),
    doi:10.1038/s41597-024-03743-w, for the minimum of 0.8.
"""

import numpy as np
from numpy.typing import NDArray

from skin_lesions.metrics.intervals import Estimate, effective_n, hanley_mcneil, unite
from skin_lesions.metrics.linearization import Floats, fraction_below, linearized_error

Bools = NDArray[np.bool_]


def partial_auroc_and_influence(
    scores: Floats, positive: Bools, min_sensitivity: float
) -> tuple[float, Floats]:
    """Return the partial AUROC and the influence of each image on it, (n,).

    With q = 1 - minimum, F and S the distributions of the scores of positives and of negatives, and
    c the quantile q of F, it is the integral of S over dF up to c.

    Args:
        scores: Higher scores are more positive, (n,). A tie counts one half.
        positive: Which images are positive, (n,).
        min_sensitivity: Minimum sensitivity, 0 to less than 1.

    Raises:
        ValueError: There is no positive or no negative image.
    """
    if positive.all() or not positive.any():
        raise ValueError(
            "The partial AUROC is undefined, because all rows have one label. "
            "Expected positive and negative rows."
        )
    q = 1 - min_sensitivity
    of_positive, of_negative = np.sort(scores[positive]), np.sort(scores[~positive])
    # ROC curve from the lowest threshold upwards, (thresholds + 1,): the fraction of positives that
    # are missed (1 - sensitivity), and the specificity.
    thresholds = np.unique(scores)
    missed = np.searchsorted(of_positive, thresholds, side="right") / of_positive.size
    specificity = np.searchsorted(of_negative, thresholds, side="right") / of_negative.size
    missed, specificity = np.append(0.0, missed), np.append(0.0, specificity)
    # The part up to a fraction q of missed positives. Its end is interpolated within ties.
    inside = missed <= q
    last = int(np.flatnonzero(inside)[-1])
    at_q = float(np.interp(q, missed[last : last + 2], specificity[last : last + 2]))
    area = float(np.trapezoid(np.append(specificity[inside], at_q), np.append(missed[inside], q)))
    # Positive with score x: min(S(x), S(c)) - S(c) (1 - q) - area. Only those below c change the
    # area directly; all others move the quantile c.
    # Negative with score y: max(0, q - F(y)) - area.
    influence = np.empty(scores.size)
    of_positives = np.minimum(fraction_below(of_negative, scores[positive]), at_q)
    of_negatives = np.maximum(0.0, q - fraction_below(of_positive, scores[~positive]))
    # The means are those of the formulas, except for the positive at the quantile.
    influence[positive] = (of_positives - of_positives.mean()) / of_positive.size
    influence[~positive] = (of_negatives - of_negatives.mean()) / of_negative.size
    return area, influence


def partial_auroc_estimate(
    scores: Floats, positive: Bools, group: NDArray[np.intp], min_sensitivity: float
) -> Estimate:
    """Return a partial AUROC with an interval that has a width above 0 even if it is perfect.

    Divided by its range q, it is the AUROC of the fraction q of the positives with the lowest
    scores against all negatives. The interval by linearization is therefore united with that of
    Hanley and McNeil for q times the number of positives.

    Args:
        scores: Higher scores are more positive, (n,).
        positive: Which images are positive, (n,).
        group: The group of each image, (n,).
        min_sensitivity: Minimum sensitivity, 0 to less than 1.
    """
    q = 1 - min_sensitivity
    value, influence = partial_auroc_and_influence(scores, positive, min_sensitivity)
    fraction = min(1.0, value / q)
    linearized = linearized_error(influence / q, group).interval(fraction, "logit")
    # Effective numbers from the outcomes at the threshold with the minimum sensitivity.
    above = scores >= np.quantile(scores[positive], q)
    positives = effective_n(above[positive], group[positive])
    negatives = effective_n(above[~positive], group[~positive])
    of_few = hanley_mcneil(fraction, max(1.0, q * positives), negatives)
    intervals = [i for i in (linearized, of_few) if i is not None]
    return unite(value, scores.size, [(q * low, q * high) for low, high in intervals], highest=q)
