"""Selective prediction: risk against coverage, and the area under this curve (AURC).

Images with at least a certain confidence are answered. Coverage is the fraction of answered
images, and risk is the fraction of wrong predictions among them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.linearization import sum_from


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Points of the curve, one for each different confidence, with increasing coverage.

    Attributes:
        min_confidence: (points,), lowest confidence of the answered images, decreasing.
        answered: (points,), number of answered images. The last one is the number of all images.
        wrong: (points,), number of wrong predictions among them.
    """

    min_confidence: Floats
    answered: NDArray[np.intp]
    wrong: NDArray[np.intp]

    @property
    def coverage(self) -> Floats:
        """Fraction of answered images, (points,)."""
        return np.asarray(self.answered / self.answered[-1], np.float64)

    @property
    def risk(self) -> Floats:
        """Fraction of wrong predictions among the answered images, (points,)."""
        return np.asarray(self.wrong / self.answered, np.float64)


def risk_coverage(confidence: Floats, correct: NDArray[np.bool_]) -> RiskCoverage:
    """Return the points of the risk-coverage curve.

    Images of equal confidence are answered together.

    Args:
        confidence: Confidence of each prediction, (n,), n at least 1.
        correct: Whether each prediction is correct, (n,).

    Source:
        El-Yaniv and Wiener (2010), JMLR 11, 1605-1641.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.flatnonzero(np.diff(ranked, append=-np.inf))  # the last image of each confidence
    return RiskCoverage(
        min_confidence=ranked[last],
        answered=last + 1,
        wrong=np.cumsum(~correct[order], dtype=np.intp)[last],
    )


def aurc_and_influence(confidence: Floats, correct: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return the area under the risk-coverage curve and the influence of each image on it, (n,).

    The area is the mean risk if each image in turn sets the threshold. With weights w,
    AURC = Σ w_i A_i / N_i divided by Σ w_i. A_i is the weight of the wrong predictions and N_i that
    of all images with at least the confidence of image i.

    Args:
        confidence: Confidence of each prediction, (n,), n at least 1.
        correct: Whether each prediction is correct, (n,).

    Source:
        Geifman, Uziel and El-Yaniv (2019), arXiv:1805.08206.
    """
    n = confidence.size
    order = np.argsort(-confidence, kind="stable")
    ranked, is_wrong = confidence[order], ~correct[order]
    # Images of equal confidence have the same threshold: the position of the last one, (n,).
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    answered = last + 1.0  # N_i
    wrong = np.cumsum(is_wrong)[last]  # A_i
    risk = wrong / answered
    value = float(risk.mean())
    # An image increases N_i, and A_i if it is wrong, of all images with at most its confidence.
    # Sums over these, from the first image of equal confidence to the end: (n,).
    first = np.searchsorted(-ranked, -ranked, side="left")
    of_answered = sum_from(wrong / answered**2)[first]
    of_wrong = sum_from(1 / answered)[first]
    influence = np.empty(n)
    influence[order] = (risk - value + is_wrong * of_wrong - of_answered) / n
    return value, influence


def lowest_aurc(n: int, wrong: int) -> float:
    """Return the AURC of n predictions if all correct ones have a higher confidence than all wrong.

    The i-th wrong prediction is answered at position n - wrong + i, with a risk of
    i / (n - wrong + i).
    """
    i = np.arange(1, wrong + 1)
    return float((i / (n - wrong + i)).sum() / n)
