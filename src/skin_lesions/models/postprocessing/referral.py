"""Referral threshold: images with a lower confidence are referred to a person.

The threshold is chosen on validation images, so that the images above it have a chosen accuracy.

Source:
    Geifman and El-Yaniv (2017), arXiv:1705.08500, for selective classification with a threshold on
    the confidence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skin_lesions.metrics.classification import Floats
from skin_lesions.metrics.selective import risk_coverage

# Images above the threshold. The accuracy of fewer images says too little: 30 of 30 correct images
# have a 95 % interval of 89 to 100 %.
MIN_ANSWERED = 30


@dataclass(frozen=True, kw_only=True)
class ReferralThreshold:
    """A threshold of the confidence, and its effect on the validation images.

    Attributes:
        target_accuracy: The chosen accuracy of the images that are not referred.
        min_confidence: Images with a lower confidence are referred. 0: no image is referred,
            because all images together reach the accuracy. None: no threshold reaches it.
        reason: Why there is no threshold.
        n: Number of validation images.
        answered: Number of them that are not referred.
        accuracy: Their accuracy, None without a threshold. It is optimistic, because the threshold
            was chosen on these images.
    """

    target_accuracy: float
    min_confidence: float | None
    reason: str | None
    n: int
    answered: int
    accuracy: float | None

    def refers(self, confidence: Floats) -> NDArray[np.bool_] | None:
        """Return whether each image is referred, (n,), or None without a threshold."""
        return None if self.min_confidence is None else confidence < self.min_confidence


def fit_referral(
    confidence: Floats, correct: NDArray[np.bool_], target_accuracy: float
) -> ReferralThreshold:
    """Choose the lowest threshold whose images above it reach the accuracy.

    The accuracy need not increase with the threshold. The lowest threshold refers the fewest
    images. At least ``MIN_ANSWERED`` validation images must be above it.

    Args:
        confidence: Probability of the predicted class of each validation image, (n,).
        correct: Whether each prediction is correct, (n,).
        target_accuracy: The chosen accuracy, above 0 and below 1.
    """
    n = confidence.size
    points = risk_coverage(confidence, correct)
    accuracy = 1 - points.risk  # (points,)
    enough = points.answered >= MIN_ANSWERED
    # Compared as numbers of images: 1 - risk has rounding errors.
    reaches = enough & (points.answered - points.wrong >= target_accuracy * points.answered - 1e-9)
    if not reaches.any():
        if n < MIN_ANSWERED:
            reason = f"there are only {n} validation images, at least {MIN_ANSWERED} are required"
        else:
            best = float(accuracy[enough].max())
            reason = (
                f"no threshold reaches an accuracy of {100 * target_accuracy:g} % on at least "
                f"{MIN_ANSWERED} validation images, the highest accuracy is {100 * best:.1f} %"
            )
        return ReferralThreshold(
            target_accuracy=target_accuracy,
            min_confidence=None,
            reason=reason,
            n=n,
            answered=0,
            accuracy=None,
        )
    chosen = int(np.flatnonzero(reaches)[-1])
    answered = int(points.answered[chosen])
    return ReferralThreshold(
        target_accuracy=target_accuracy,
        min_confidence=0.0 if answered == n else float(points.min_confidence[chosen]),
        reason=None,
        n=n,
        answered=answered,
        accuracy=float(accuracy[chosen]),
    )
