"""Selective prediction: risk against coverage, its area, and the referral threshold."""

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays
from skin_lesions.evaluation.uncertainty.model import (
    ReferralMetrics,
    RiskAtCoverage,
    SelectiveMetrics,
)
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable, unite
from skin_lesions.metrics.linearization import linearized_error
from skin_lesions.metrics.selective import aurc_and_influence, lowest_aurc, risk_coverage
from skin_lesions.models.postprocessing.referral import ReferralThreshold

# Fractions of the images that are answered, for the points of the curve.
COVERAGES = np.arange(1, 21) / 20
# Wrong predictions for an interval of the AURC. In simulations with groups and with single images,
# 95 % intervals contain the true AURC in 93 to 96 % of the cases from about 20 wrong predictions
# on, and in 90 % with 7 (tests/metrics/test_selective.py).
MIN_WRONG = 20


def selective_metrics(rows: PredictionArrays, threshold: ReferralThreshold) -> SelectiveMetrics:
    """Compute the risk-coverage curve with its area, and the effect of the referral threshold.

    The confidence is the probability of the predicted class, for the class frequencies of the
    training images.
    """
    correct = rows.correct
    return SelectiveMetrics(
        risk=proportion(~correct, rows.group),
        aurc=_aurc(rows),
        lowest_aurc=lowest_aurc(rows.n, int((~correct).sum())),
        curve=_curve(rows),
        referral=_referral(rows, threshold),
    )


def _aurc(rows: PredictionArrays) -> Estimate:
    value, influence = aurc_and_influence(rows.confidence, rows.correct)
    if np.count_nonzero(~rows.correct) < MIN_WRONG:
        reason = f"no interval, because there are fewer than {MIN_WRONG} wrong predictions"
        return Estimate(value=value, low=None, high=None, n=rows.n, reason=reason)
    # The logarithm keeps the interval above 0, as for log loss.
    interval = linearized_error(influence, rows.group).interval(value, "log")
    return unite(value, rows.n, [interval])


def _curve(rows: PredictionArrays) -> tuple[RiskAtCoverage, ...]:
    points = risk_coverage(rows.confidence, rows.correct)
    # The first point that answers enough images, for each coverage.
    needed = np.ceil(COVERAGES * rows.n - 1e-9)  # images
    chosen = np.unique(np.searchsorted(points.answered, needed))
    curve = []
    for i in chosen:
        answered = rows.confidence >= points.min_confidence[i]
        curve.append(
            RiskAtCoverage(
                coverage=float(points.coverage[i]),
                min_confidence=float(points.min_confidence[i]),
                risk=proportion(~rows.correct[answered], rows.group[answered]),
            )
        )
    return tuple(curve)


def _referral(rows: PredictionArrays, threshold: ReferralThreshold) -> ReferralMetrics:
    referred = threshold.refers(rows.confidence)
    if referred is None:
        missing = unavailable(f"no referral threshold: {threshold.reason}", rows.n)
        estimates = dict.fromkeys(("referred", "accuracy_answered", "accuracy_referred"), missing)
    else:
        estimates = {
            "referred": proportion(referred, rows.group),
            "accuracy_answered": _accuracy(rows, ~referred, "all images are referred"),
            "accuracy_referred": _accuracy(rows, referred, "no image is referred"),
        }
    return ReferralMetrics(
        target_accuracy=threshold.target_accuracy,
        min_confidence=threshold.min_confidence,
        reason=threshold.reason,
        **estimates,
    )


def _accuracy(rows: PredictionArrays, selected: Bools, reason_if_none: str) -> Estimate:
    if not selected.any():
        return unavailable(reason_if_none)
    return proportion(rows.correct[selected], rows.group[selected])
