"""Conformal prediction sets, against a slow second implementation and the guarantee."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.models.postprocessing.conformal import (
    fit_conformal,
    label_quantile,
    min_images,
    set_names,
)

COVERAGES = (Fraction(1, 2), Fraction(7, 10), Fraction(8, 10), Fraction(9, 10), Fraction(95, 100))


def slow_sets(calibration, test, coverage):
    """Return for each test probability whether it is in the set, by the definition with p-values.

    A class is in the set if its p-value, the fraction of scores 1 - p at least as high as its own
    among the n calibration images and itself, is above 1 - coverage.
    """
    members = []
    for p in test:
        as_strange = 1 + sum(q <= p for q in calibration)
        members.append(Fraction(as_strange, len(calibration) + 1) > 1 - coverage)
    return members


@given(
    calibration=st.lists(st.sampled_from(np.arange(1, 30) / 30), min_size=0, max_size=60),
    coverage=st.sampled_from(COVERAGES),
)
def test_quantile_agrees_with_the_p_values_of_transductive_conformal_prediction(
    calibration, coverage
):
    test = np.arange(0, 31) / 30
    threshold = label_quantile(np.array(calibration, np.float64), float(coverage))
    assert (test >= threshold).tolist() == slow_sets(calibration, test, coverage)


@pytest.mark.parametrize("coverage", COVERAGES)
def test_quantile_exists_from_the_smallest_number_of_images(coverage):
    needed = min_images(float(coverage))
    # In exact arithmetic: the smallest n whose rank ceil((n + 1) · coverage) is at most n.
    assert needed == next(n for n in range(1, 100) if (n + 1) * coverage <= n)
    assert label_quantile(np.full(needed, 0.5), float(coverage)) == 0.5
    assert label_quantile(np.full(needed - 1, 0.5), float(coverage)) == 0.0


def test_quantile_is_not_that_of_numpy_with_method_higher():
    scores = np.arange(1, 22) / 22
    assert 1 - label_quantile(1 - scores, 0.9) == pytest.approx(20 / 22)  # rank ceil(22 * 0.9)
    assert np.quantile(scores, 0.9, method="higher") == pytest.approx(19 / 22)


def probabilities(labels, rng, skill=1.5):
    logits = rng.normal(size=(labels.size, 4))
    logits[np.arange(labels.size), labels] += skill
    exponential = np.exp(logits)
    return exponential / exponential.sum(axis=1, keepdims=True)


def test_sets_cover_the_label_as_often_as_guaranteed_overall_and_within_classes():
    """On average over calibrations; with continuous scores the coverage is rank / (n + 1)."""
    rng = np.random.default_rng(0)
    counts = np.array([30, 12, 5, 5])  # 5 images are too few: the two classes share a threshold
    labels = np.repeat(np.arange(4), counts)
    test_labels = np.repeat(np.arange(4), 50)
    covered = np.zeros(4)
    repetitions = 1500
    for _ in range(repetitions):
        fitted = fit_conformal(probabilities(labels, rng), labels, 0.9)
        members = fitted.contains(probabilities(test_labels, rng))
        hit = members[np.arange(200), test_labels]
        covered += np.bincount(test_labels, weights=hit) / 50 / repetitions
    # Ranks: ceil(31 * 0.9) = 28 of 31, ceil(13 * 0.9) = 12 of 13, ceil(11 * 0.9) = 10 of 11.
    assert covered == pytest.approx([28 / 31, 12 / 13, 10 / 11, 10 / 11], abs=0.008)


def test_threshold_is_that_of_the_class_of_the_rare_classes_or_of_all_images():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [20, 6, 5])
    p = probabilities(labels, rng)
    of_label = p[np.arange(31), labels]
    fitted = fit_conformal(p, labels, 0.9)
    assert [entry.calibrated_on for entry in fitted.classes] == [
        *("class", "rare_classes", "rare_classes", "rare_classes")
    ]
    assert [entry.n for entry in fitted.classes] == [20, 11, 11, 11]
    own = label_quantile(of_label[:20], 0.9)
    shared = label_quantile(of_label[20:], 0.9)
    assert [entry.min_probability for entry in fitted.classes] == [own, shared, shared, shared]
    few_rare = fit_conformal(p[:24], labels[:24], 0.9)
    assert [entry.calibrated_on for entry in few_rare.classes] == [
        *("class", "all_classes", "all_classes", "all_classes")
    ]
    assert few_rare.classes[1].min_probability == label_quantile(of_label[:24], 0.9)


def test_all_classes_are_in_every_set_if_all_validation_images_are_too_few():
    labels = np.array([0, 1, 2, 3])
    fitted = fit_conformal(probabilities(labels, np.random.default_rng(0)), labels, 0.9)
    assert {entry.calibrated_on for entry in fitted.classes} == {"no_images"}
    assert fitted.contains(np.array([[1.0, 0.0, 0.0, 0.0]])).all()


def test_probability_equal_to_the_threshold_is_in_the_set():
    labels = np.zeros(9, int)
    p = np.column_stack([np.linspace(0.1, 0.9, 9), 1 - np.linspace(0.1, 0.9, 9)])
    fitted = fit_conformal(p, labels, 0.9)
    assert fitted.contains(p)[:, 0].all()
    assert not fitted.contains(np.array([[0.0999, 0.9001]]))[0, 0]


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 1.5])
def test_coverage_must_be_between_0_and_1(coverage):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        min_images(coverage)


def test_names_of_a_set_start_with_the_most_probable_class():
    p = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])
    members = np.array([[True, True, False], [False, False, False]])
    assert set_names(members, p, ("a", "b", "c")) == [["b", "a"], []]
