"""Made-up results of the fits on validation images; this module does not import torch."""

from typing import Any

import numpy as np

from skin_lesions.models.postprocessing.conformal import ClassThreshold, ConformalThresholds
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from skin_lesions.models.postprocessing.referral import ReferralThreshold
from skin_lesions.models.postprocessing.temperature import TemperatureFit
from skin_lesions.models.postprocessing.unknown_score import (
    UnknownScoreFit,
    fit_threshold,
    fit_unknown_statistics,
)
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
        "unknown_score": unknown_score(),
    }
    return Postprocessing(**(values | changes))


def unknown_score(features: int = 512) -> UnknownScoreFit:
    """Make an unknown score for random features; 512 are those of ResNet-18."""
    rng = np.random.default_rng(0)
    statistics = fit_unknown_statistics(
        "mahalanobis", rng.random((20, features)), np.arange(20) % 2, 0
    )
    return fit_threshold(statistics, rng.random(40), 0.05)
