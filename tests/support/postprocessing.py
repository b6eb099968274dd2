"""Made-up results of the fits on validation images; this module does not import torch."""

from typing import Any

from skin_lesions.models.postprocessing.conformal import ClassThreshold, ConformalThresholds
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from skin_lesions.models.postprocessing.referral import ReferralThreshold
from skin_lesions.models.postprocessing.temperature import TemperatureFit
from skin_lesions.models.trained_model import Postprocessing


def postprocessing(train_counts: tuple[int, ...], **changes: Any) -> Postprocessing:
    """Make up what is fitted on the validation images; ``changes`` replace its fields."""
    threshold = ClassThreshold(min_probability=0.2, calibrated_on="class", n=12)
    values = {
        "calibration": TemperatureFit(
            temperature=1.5, nll_before=0.9, nll_after=0.8, n=1, n_effective=1.0
        ),
        "frequencies": class_frequencies(train_counts, "logit_adjustment", "auto"),
        "conformal": ConformalThresholds(coverage=0.9, classes=(threshold,) * len(train_counts)),
        "referral": ReferralThreshold(
            target_accuracy=0.9,
            min_confidence=0.6,
            reason=None,
            n=100,
            answered=70,
            accuracy=0.9,
        ),
    }
    return Postprocessing(**(values | changes))
