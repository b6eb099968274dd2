import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skin_lesions.metrics.partial_auroc import (
    partial_auroc_and_influence,
    partial_auroc_estimate,
)


def isic_2024(positive, scores, weights=None):
    """The official metric of the ISIC 2024 challenge, as its organizers published it."""
    max_fpr = 0.2  # of the swapped labels: 1 - minimum sensitivity
    scaled = roc_auc_score(~positive, -scores, max_fpr=max_fpr, sample_weight=weights)
    smallest = 0.5 * max_fpr**2
    return smallest + (max_fpr - smallest) * (scaled - 0.5) / 0.5


def rows(seed, n=60, *, ties=False):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    positive[:2] = True, False
    scores = rng.normal(size=n) + 1.2 * positive
    return positive, np.round(scores) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_value_agrees_with_the_metric_of_the_isic_challenge(seed, ties):
    positive, scores = rows(seed, ties=ties)
    value, _ = partial_auroc_and_influence(scores, positive, 0.8)
    assert value == pytest.approx(isic_2024(positive, scores))


@pytest.mark.parametrize(("scores", "expected"), [([1, 1, 0, 0], 0.2), ([0, 0, 1, 1], 0.0)])
def test_perfect_and_reversed_rankings_have_the_limits_of_the_range(scores, expected):
    positive = np.array([True, True, False, False])
    value, _ = partial_auroc_and_influence(np.array(scores, float), positive, 0.8)
    assert value == pytest.approx(expected)


def test_minimum_of_zero_gives_the_auroc():
    positive, scores = rows(0, ties=True)
    value, _ = partial_auroc_and_influence(scores, positive, 0.0)
    assert value == pytest.approx(roc_auc_score(positive, scores))


@pytest.mark.parametrize("seed", range(5))
def test_influence_is_the_derivative_by_the_weight_of_each_image(seed):
    positive, scores = rows(seed, 33)
    step = 1e-5
    expected = []
    for row in np.eye(33) * step:
        higher = isic_2024(positive, scores, 1 + row)
        expected.append((higher - isic_2024(positive, scores, 1 - row)) / (2 * step))
    _, influence = partial_auroc_and_influence(scores, positive, 0.8)
    assert influence == pytest.approx(np.array(expected), abs=1e-6)


def test_labels_of_one_kind_are_rejected():
    with pytest.raises(ValueError, match="all rows have one label"):
        partial_auroc_and_influence(np.zeros(3), np.ones(3, bool), 0.8)


def test_perfect_ranking_has_an_interval_below_the_maximum():
    positive = np.arange(40) < 20
    estimate = partial_auroc_estimate(positive.astype(float), positive, np.arange(40), 0.8)
    assert estimate.value == estimate.high == pytest.approx(0.2)
    assert 0.05 < estimate.low < 0.19


def test_copies_of_images_in_their_groups_do_not_make_the_interval_narrower():
    positive, scores = rows(3, 80)
    single = partial_auroc_estimate(scores, positive, np.arange(80), 0.8)
    copies = [np.repeat(values, 5) for values in (scores, positive, np.arange(80))]
    copied = partial_auroc_estimate(*copies, 0.8)
    assert copied.value == pytest.approx(single.value)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.1)


def test_intervals_contain_the_true_value_about_as_often_as_they_claim():
    """300 replications of 60 groups of up to four images; the true value is that of many images."""

    def simulate(groups, rng):
        group = np.repeat(np.arange(groups), rng.integers(1, 5, groups))
        positive = (rng.random(groups) < 0.4)[group]
        noise = 0.8 * rng.normal(size=groups)[group] + rng.normal(size=group.size)
        return noise + 1.5 * positive, positive, group

    scores, positive, _ = simulate(200_000, np.random.default_rng(0))
    truth, _ = partial_auroc_and_influence(scores, positive, 0.8)
    covered = []
    for seed in range(300):
        estimate = partial_auroc_estimate(*simulate(60, np.random.default_rng([1, seed])), 0.8)
        covered.append(estimate.low <= truth <= estimate.high)
    assert 0.91 <= np.mean(covered) <= 0.99
