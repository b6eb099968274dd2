import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from skin_lesions.metrics.calibration import BINS, confidence_bins, expected_calibration_error
from skin_lesions.models.postprocessing.temperature import (
    TEMPERATURE_BOUNDS,
    fit_temperature,
    softmax_with_temperature,
    undo_temperature,
)

finite = st.floats(-30, 30)


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its logits."""

    def __init__(self, k=4):
        self.k = k
        self.classes_ = np.arange(k)

    def fit(self, features, labels):
        return self

    def decision_function(self, features):
        return features

    def predict(self, features):
        return features.argmax(axis=1)


def simulate_logits(n, temperature, seed=0, k=4):
    """Return logits times the temperature, and labels drawn from the softmax of the logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(n, k))
    labels = (logits + rng.gumbel(size=(n, k))).argmax(axis=1)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_agrees_with_scikit_learn(temperature):
    logits, labels = simulate_logits(500, temperature)
    reference = CalibratedClassifierCV(FrozenEstimator(Logits()), method="temperature", cv=2)
    reference.fit(logits, labels)
    ours = softmax_with_temperature(logits, fit_temperature(logits, labels).temperature)
    assert ours == pytest.approx(reference.predict_proba(logits), abs=2e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_known_temperature_is_recovered(temperature):
    fit = fit_temperature(*simulate_logits(20_000, temperature))
    assert fit.temperature == pytest.approx(temperature, rel=0.03)
    assert fit.n == 20_000


def test_no_temperature_on_a_fine_grid_is_better():
    logits, labels = simulate_logits(200, 1.7)
    grid = np.geomspace(*TEMPERATURE_BOUNDS, 3000)
    nll = [-log_softmax(logits / t, axis=1)[np.arange(200), labels].mean() for t in grid]
    fit = fit_temperature(logits, labels)
    assert fit.nll_after <= min(nll)
    assert fit.temperature == pytest.approx(grid[np.argmin(nll)], rel=0.003)


@given(
    logits=arrays(np.float64, (6, 3), elements=finite),
    labels=arrays(np.int64, 6, elements=st.integers(0, 2)),
)
def test_fit_never_increases_the_nll(logits, labels):
    fit = fit_temperature(logits, labels)
    assert fit.nll_after <= fit.nll_before
    assert TEMPERATURE_BOUNDS[0] <= fit.temperature <= TEMPERATURE_BOUNDS[1]
    expected = -log_softmax(logits, axis=1)[np.arange(6), labels].mean()
    assert fit.nll_before == pytest.approx(expected)


def test_temperature_stays_1_if_all_temperatures_are_equally_good():
    fit = fit_temperature(np.zeros((5, 3)), [0, 1, 2, 0, 1])
    assert fit.temperature == 1.0
    assert fit.nll_after == fit.nll_before == pytest.approx(np.log(3))


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_scaled_logits_have_the_scaled_temperature_and_the_same_likelihood(scale):
    logits, labels = simulate_logits(400, 1.5)
    plain, scaled = fit_temperature(logits, labels), fit_temperature(scale * logits, labels)
    assert scaled.temperature == pytest.approx(scale * plain.temperature, rel=1e-5)
    assert scaled.nll_after == pytest.approx(plain.nll_after)


def test_32_bit_logits_are_converted_to_64_bits():
    logits, labels = simulate_logits(100, 2.0)
    logits = logits.astype(np.float32)
    assert fit_temperature(logits, labels) == fit_temperature(logits.astype(np.float64), labels)


def test_temperature_stays_1_with_a_warning_if_all_images_are_right(caplog):
    with caplog.at_level(logging.WARNING):
        fit = fit_temperature([[2.0, 0.0], [0.0, 1.0]], [0, 1])
    assert fit.temperature == 1
    assert fit.nll_after == fit.nll_before
    assert "nothing to calibrate, so the temperature stays 1" in caplog.text
    assert "2 validation images" in caplog.text


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "at least 2 classes"),
        (np.zeros((2, 1)), [0, 0], "at least 2 classes"),
        (np.zeros(3), [0, 1, 2], "at least 2 classes"),
        ([[0.0, np.nan], [0.0, 1.0]], [0, 1], "1 rows of logits are not finite.*row 0"),
        ([[0.0, 1.0], [np.inf, 1.0]], [0, 1], "not finite.*row 1"),
        (np.zeros((2, 3)), [0], "one per row"),
        (np.zeros((2, 3)), [0.0, 1.0], "class numbers"),
        (np.zeros((2, 3)), [0, 3], "between 0 and 2"),
        (np.zeros((2, 3)), [-1, 0], "between 0 and 2"),
    ],
)
def test_invalid_logits_or_labels_are_rejected(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, labels)


# Probabilities


@given(arrays(np.float64, (4, 3), elements=finite), st.floats(0.05, 20))
def test_probabilities_sum_to_one_and_have_the_order_of_the_logits(logits, temperature):
    p = softmax_with_temperature(logits, temperature)
    assert p.sum(axis=1) == pytest.approx(np.ones(4))
    sorted_by_logit = np.take_along_axis(p, logits.argsort(axis=1), axis=1)
    assert (np.diff(sorted_by_logit, axis=1) >= 0).all()


def test_huge_logits_do_not_overflow_and_give_64_bit_probabilities():
    p = softmax_with_temperature(np.array([[1e4, -1e4, 9.999e3]], dtype=np.float32), 1.0)
    assert p.dtype == np.float64
    assert p[0] == pytest.approx([1 / (1 + np.exp(-1.0)), 0.0, 1 / (1 + np.exp(1.0))])


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperature_must_be_finite_and_above_zero(temperature):
    with pytest.raises(ValueError, match="above 0"):
        softmax_with_temperature([[0.0, 1.0]], temperature)


# Calibration error


def test_bins_have_the_same_number_of_images():
    bins = confidence_bins(np.random.default_rng(0).beta(8, 1, size=1500))
    assert np.bincount(bins).tolist() == [100] * BINS


@given(st.lists(st.sampled_from([0.2, 0.5, 0.9, 1.0]), min_size=1, max_size=300))
def test_equal_confidences_have_one_bin_and_bins_increase_with_confidence(confidence):
    values = np.array(confidence)
    bins = confidence_bins(values)
    assert 0 <= bins.min() <= bins.max() < BINS
    assert all(np.ptp(bins[values == value]) == 0 for value in np.unique(values))
    assert (np.diff(bins[values.argsort()]) >= 0).all()


def test_few_images_have_few_bins():
    assert len(np.unique(confidence_bins(np.linspace(0, 1, 25)))) == 2
    assert confidence_bins([0.7]).tolist() == [0]


def test_confidence_at_the_border_of_two_bins_belongs_to_the_higher_bin():
    # The median of 21 values is the border of two bins.
    assert np.bincount(confidence_bins(np.linspace(0.5, 0.9, 21))).tolist() == [10, 11]


@pytest.mark.parametrize("confidence", [0.5, 0.75, 1.0])
def test_error_of_one_confidence_is_its_distance_from_the_accuracy(confidence):
    correct = np.arange(200) < 150
    error = expected_calibration_error(np.full(200, confidence), correct)
    assert error == pytest.approx(abs(confidence - 0.75))


def test_errors_of_bins_do_not_cancel():
    confidence = np.repeat([0.6, 0.8], 100)
    correct = np.concatenate([np.arange(100) < 80, np.arange(100) < 60])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.2)


def test_calibrated_probabilities_have_an_error_near_zero():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1.0, size=50_000)
    assert expected_calibration_error(confidence, rng.random(50_000) < confidence) < 0.01
    assert expected_calibration_error(confidence, rng.random(50_000) < confidence**2) > 0.1


@pytest.mark.parametrize(("confidence", "correct"), [([], []), ([0.5], [True, False])])
def test_calibration_error_requires_one_entry_per_image(confidence, correct):
    with pytest.raises(ValueError, match="one entry per image"):
        expected_calibration_error(confidence, correct)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_undone_temperature_gives_the_softmax_of_the_logits(temperature):
    logits = 4 * np.random.default_rng(0).normal(size=(50, 5))
    scaled = softmax_with_temperature(logits, temperature)
    expected = softmax_with_temperature(logits, 1.0)
    np.testing.assert_allclose(undo_temperature(scaled, temperature), expected, atol=1e-10)


def test_undone_temperature_keeps_a_prior_that_was_added_after_it():
    rng = np.random.default_rng(0)
    logits, prior = rng.normal(size=(50, 5)), np.log(rng.dirichlet(np.ones(5)))
    scaled = softmax_with_temperature(logits / 2.5 + prior, 1.0)
    expected = softmax_with_temperature(logits + prior, 1.0)
    np.testing.assert_allclose(undo_temperature(scaled, 2.5, prior), expected, atol=1e-10)


def test_undone_temperature_accepts_probabilities_of_zero():
    found = undo_temperature(np.array([[1.0, 0.0]]), 2.0)
    np.testing.assert_allclose(found, [[1.0, 0.0]], atol=1e-12)
