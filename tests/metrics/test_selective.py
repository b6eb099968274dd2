import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from skin_lesions.metrics.linearization import linearized_error
from skin_lesions.metrics.selective import aurc_and_influence, lowest_aurc, risk_coverage

images = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40)


def slow_aurc(confidence, correct, weights):
    """Return the mean risk if each image in turn sets the threshold, by loops."""
    total = 0.0
    for p, w in zip(confidence, weights, strict=True):
        answered = [i for i, other in enumerate(confidence) if other >= p]
        wrong = sum(weights[i] for i in answered if not correct[i])
        total += w * wrong / sum(weights[i] for i in answered)
    return total / sum(weights)


@given(images)
def test_aurc_and_influence_agree_with_loops_and_numerical_derivatives(rows):
    confidence = np.array([p for p, _ in rows]) / 10
    correct = np.array([c for _, c in rows])
    value, influence = aurc_and_influence(confidence, correct)
    ones = np.ones(len(rows))
    assert value == pytest.approx(slow_aurc(confidence, correct, ones))
    for i in range(len(rows)):
        step = np.eye(len(rows))[i] * 1e-5
        up = slow_aurc(confidence, correct, ones + step)
        down = slow_aurc(confidence, correct, ones - step)
        assert influence[i] == pytest.approx((up - down) / 2e-5, abs=1e-6)
    assert influence.sum() == pytest.approx(0, abs=1e-9)


@given(images)
def test_points_of_the_curve_are_those_of_each_threshold(rows):
    confidence = np.array([p for p, _ in rows]) / 10
    correct = np.array([c for _, c in rows])
    points = risk_coverage(confidence, correct)
    assert points.min_confidence.tolist() == sorted(set(confidence), reverse=True)
    for t, coverage, risk in zip(points.min_confidence, points.coverage, points.risk, strict=True):
        answered = confidence >= t
        assert coverage == pytest.approx(answered.mean())
        assert risk == pytest.approx((~correct[answered]).mean())


@pytest.mark.parametrize(("n", "wrong"), [(10, 0), (10, 3), (10, 10), (1, 1)])
def test_lowest_aurc_is_that_of_a_perfect_order(n, wrong):
    correct = np.arange(n) < n - wrong
    best, _ = aurc_and_influence(-np.arange(n, dtype=float), correct)
    worst, _ = aurc_and_influence(np.arange(n, dtype=float), correct)
    assert lowest_aurc(n, wrong) == pytest.approx(best)
    assert best <= worst


def test_confidence_without_information_has_the_risk_of_all_images_as_aurc():
    correct = np.arange(10) < 7
    assert aurc_and_influence(np.full(10, 0.5), correct)[0] == pytest.approx(0.3)


def simulate(groups, sizes, rng, correlation=0.7):
    """Draw calibrated confidences and outcomes that are correlated within groups."""
    group = np.repeat(np.arange(groups), rng.choice(sizes, size=groups))
    latent = [
        np.sqrt(correlation) * rng.normal(size=groups)[group]
        + np.sqrt(1 - correlation) * rng.normal(size=group.size)
        for _ in range(2)
    ]
    confidence = 1 / (1 + np.exp(-(1.0 + 1.5 * latent[0])))
    return confidence, ndtr(latent[1]) < confidence, group


@pytest.mark.parametrize(("groups", "sizes"), [(300, [1]), (120, [1, 2, 3, 4]), (21, [10, 15, 20])])
def test_intervals_contain_the_true_aurc_as_often_as_stated(groups, sizes):
    rng = np.random.default_rng(0)
    confidence, correct, _ = simulate(100_000, [1], rng)
    truth, _ = aurc_and_influence(confidence, correct)
    hits = 0
    for _ in range(300):
        confidence, correct, group = simulate(groups, sizes, rng)
        value, influence = aurc_and_influence(confidence, correct)
        low, high = linearized_error(influence, group).interval(value, "log")
        hits += low <= truth <= high
    # 95 % plus or minus three standard errors of 300 replications
    assert hits / 300 == pytest.approx(0.95, abs=0.04)


def test_interval_without_groups_would_be_too_narrow():
    rng = np.random.default_rng(1)
    confidence, correct, group = simulate(100, [4], rng)
    _, influence = aurc_and_influence(confidence, correct)
    with_groups = linearized_error(influence, group).standard_error
    without = linearized_error(influence, np.arange(group.size)).standard_error
    assert with_groups > 1.3 * without
