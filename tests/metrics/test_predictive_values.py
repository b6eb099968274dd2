import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_score

from skin_lesions.metrics.predictive_values import benefits, predictive_value


def decision(true_positives, false_negatives, false_positives, true_negatives):
    """Return which images are called positive and which are positive, for these counts."""
    counts = [true_positives, false_negatives, false_positives, true_negatives]
    called = np.repeat([True, False, True, False], counts)
    return called, np.repeat([True, True, False, False], counts)


def estimate_of(*counts, prevalence=0.1):
    called, positive = decision(*counts)
    return predictive_value(called, positive, np.arange(called.size), prevalence)


def test_value_follows_from_sensitivity_specificity_and_prevalence():
    # Of 1,000 people, 100 are ill. The test finds 80 of them and calls 90 of 900 others.
    assert estimate_of(80, 20, 10, 90).value == pytest.approx(80 / (80 + 90))


def test_at_the_prevalence_of_the_images_it_is_their_precision():
    called, positive = decision(13, 5, 7, 40)
    found = predictive_value(called, positive, np.arange(65), float(positive.mean()))
    assert found.value == pytest.approx(precision_score(positive, called))


def test_opposite_decision_gives_the_negative_predictive_value():
    called, positive = decision(80, 20, 10, 90)
    found = predictive_value(~called, ~positive, np.arange(200), 0.9)
    assert found.value == pytest.approx(810 / (810 + 20))


def test_without_calls_there_is_no_value():
    found = estimate_of(0, 5, 0, 5)
    assert found.value is None
    assert found.reason == "no image is on this side of the threshold"


def test_interval_without_false_positives_is_wide_and_ends_at_one():
    few, many = estimate_of(8, 2, 0, 10), estimate_of(800, 200, 0, 1000)
    assert few.value == few.high == many.value == 1.0
    assert few.low < 0.5 < 0.9 < many.low


@given(st.lists(st.integers(0, 30), min_size=4, max_size=4), st.floats(0.01, 0.98))
def test_interval_contains_the_value_and_both_grow_with_the_prevalence(counts, prevalence):
    counts = [counts[0] + 1, counts[1], counts[2] + 1, counts[3]]
    low = estimate_of(*counts, prevalence=prevalence)
    high = estimate_of(*counts, prevalence=prevalence + 0.01)
    assert 0 <= low.low <= low.value <= low.high <= 1
    assert low.value < high.value
    assert low.low < high.low


@pytest.mark.parametrize("images_per_group", [1, 3])
def test_intervals_contain_the_true_value_about_as_often_as_they_claim(images_per_group):
    """400 replications of 150 images: sensitivity 85 %, specificity 80 %, prevalence 5 %."""
    truth = 0.85 * 0.05 / (0.85 * 0.05 + 0.2 * 0.95)
    covered = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        group = np.arange(150) // images_per_group
        positive = (rng.random(150) < 0.3)[group]
        # Images of a group have the same label, and half of them the same outcome.
        own, common = rng.random(150), rng.random(150)[group]
        chance = np.where(rng.random(150) < 0.5, own, common)
        called = chance < np.where(positive, 0.85, 0.2)
        found = predictive_value(called, positive, group, 0.05)
        covered.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_mean_benefit_is_the_net_benefit_of_vickers_and_elkin(threshold):
    rng = np.random.default_rng(0)
    positive, called = rng.random(200) < 0.3, rng.random(200) < 0.5
    _, false_positives, _, true_positives = confusion_matrix(positive, called).ravel()
    expected = true_positives / 200 - false_positives / 200 * threshold / (1 - threshold)
    assert benefits(called, positive, threshold).mean() == pytest.approx(expected)


def test_acting_always_has_no_net_benefit_at_the_prevalence():
    positive = np.arange(50) < 10
    assert benefits(np.ones(50, bool), positive, 0.2).mean() == pytest.approx(0)
