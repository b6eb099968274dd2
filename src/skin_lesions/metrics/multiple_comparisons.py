"""Correction of p-values for many comparisons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm_adjusted(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the p-values adjusted by the step-down procedure of Holm, in the same order.

    If all adjusted p-values up to 0.05 are reported, the probability of one or more false reports
    is at most 5 %, whatever the dependence of the tests.

    Args:
        p_values: One p-value per comparison, 0 to 1, (comparisons,).

    Raises:
        ValueError: A p-value is outside 0 to 1, or not finite.

    Source:
        Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"Invalid p-values ({values.tolist()}). Expected values from 0 to 1.")
    order = np.argsort(values, kind="stable")
    # The smallest p-value is multiplied by m, the next one by m - 1, and so on. Adjusted values
    # must not decrease in this order.
    factors = np.arange(values.size, 0, -1)
    increasing = np.maximum.accumulate(values[order] * factors)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(increasing, 1.0)
    return adjusted
