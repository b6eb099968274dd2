import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.models.postprocessing.referral import MIN_ANSWERED, fit_referral


def slow_threshold(confidence, correct, target):
    """Return the lowest confidence whose images at or above it reach the accuracy, or None."""
    for threshold in sorted(set(confidence)):
        answered = [c for c, p in zip(correct, confidence, strict=True) if p >= threshold]
        if len(answered) >= MIN_ANSWERED and sum(answered) * 10 >= target * len(answered):
            return threshold if len(answered) < len(confidence) else 0.0
    return None


@given(
    images=st.lists(
        st.tuples(st.sampled_from(np.arange(1, 20) / 20), st.integers(0, 9)),
        min_size=1,
        max_size=120,
    ),
    tenths=st.sampled_from([5, 7, 8, 9]),
)
def test_agrees_with_a_search_of_all_thresholds(images, tenths):
    confidence = np.array([p for p, _ in images])
    correct = np.array([value < 10 * p for p, value in images])
    fitted = fit_referral(confidence, correct, tenths / 10)
    expected = slow_threshold(confidence.tolist(), correct.tolist(), tenths)
    assert fitted.min_confidence == expected
    if expected is None:
        assert fitted.reason is not None
        assert fitted.refers(confidence) is None
        return
    answered = ~fitted.refers(confidence)
    assert fitted.answered == answered.sum() >= MIN_ANSWERED
    assert fitted.accuracy == pytest.approx(correct[answered].mean())
    assert fitted.accuracy >= tenths / 10 - 1e-9


def test_no_image_is_referred_if_all_images_reach_the_accuracy():
    fitted = fit_referral(np.linspace(0.3, 0.9, 40), np.arange(40) > 3, 0.9)
    assert (fitted.min_confidence, fitted.answered) == (0.0, 40)
    assert not fitted.refers(np.array([0.0, 0.1])).any()


def test_reason_names_the_highest_accuracy_if_none_is_high_enough():
    confidence = np.linspace(0.2, 0.8, 60)
    fitted = fit_referral(confidence, np.arange(60) % 2 == 0, 0.9)
    assert fitted.min_confidence is None
    assert "an accuracy of 90 %" in fitted.reason
    assert "the highest accuracy is 50.0 %" in fitted.reason


def test_few_validation_images_give_no_threshold():
    fitted = fit_referral(np.full(10, 0.9), np.ones(10, bool), 0.9)
    assert fitted.min_confidence is None
    assert fitted.reason == "there are only 10 validation images, at least 30 are required"
