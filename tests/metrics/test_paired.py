"""Paired differences, against a slow bootstrap, other libraries and a simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.metrics.paired import (
    accuracy_difference,
    balanced_accuracy_difference,
    independent_difference,
    log_loss_difference,
    macro_auroc_difference,
    macro_f1_difference,
    mcnemar_exact,
    sign_test_of_groups,
)
from support.benchmarks import import_benchmark

SKEWED = (0.40, 0.20, 0.12, 0.09, 0.07, 0.05, 0.04, 0.03)


def two_models(rng, n, *, max_group=4, gain=0.0, frequencies=SKEWED):
    """Simulate correlated probabilities of two models; images of a group have similar logits.

    Returns:
        label (n,), group (n,), and the probabilities of baseline and candidate, (n, k).
    """
    k = len(frequencies)
    sizes = rng.integers(1, max_group + 1, size=n)
    group = np.repeat(np.arange(n), sizes)[:n]
    label = rng.choice(k, size=n, p=frequencies)[group]  # one label per group
    shared = rng.normal(size=(n, k))[group] + 0.7 * rng.normal(size=(n, k))
    shared[np.arange(n), label] += 1.6
    probabilities = []
    for skill in (0.0, gain):
        own = 0.6 * rng.normal(size=(n, k))[group] + 0.6 * rng.normal(size=(n, k))
        own[np.arange(n), label] += skill
        probabilities.append(special.softmax(shared + own, axis=1))
    return label, group, probabilities[0], probabilities[1]


def all_differences(label, group, baseline, candidate):
    predicted = baseline.argmax(axis=1), candidate.argmax(axis=1)
    return {
        "accuracy": accuracy_difference(predicted[0] == label, predicted[1] == label, group),
        "balanced_accuracy": balanced_accuracy_difference(label, *predicted, group),
        "macro_f1": macro_f1_difference(label, *predicted, group),
        "auroc_macro": macro_auroc_difference(label, baseline, candidate, group),
        "log_loss": log_loss_difference(label, baseline, candidate, group),
    }


def scores(label, probability):
    """Return the same metrics of one model, by scikit-learn."""
    predicted, present = probability.argmax(axis=1), np.unique(label)
    return {
        "accuracy": (predicted == label).mean(),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "macro_f1": f1_score(label, predicted, labels=present, average="macro"),
        "auroc_macro": np.mean([roc_auc_score(label == c, probability[:, c]) for c in present]),
        "log_loss": log_loss(label, probability, labels=range(probability.shape[1])),
    }


@pytest.mark.parametrize("seed", range(3))
def test_values_are_the_differences_of_the_metrics_of_scikit_learn(seed):
    label, group, baseline, candidate = two_models(np.random.default_rng(seed), 300)
    found = all_differences(label, group, baseline, candidate)
    of_baseline, of_candidate = scores(label, baseline), scores(label, candidate)
    for name, estimate in found.items():
        assert estimate.value == pytest.approx(of_candidate[name] - of_baseline[name]), name
        assert estimate.low < estimate.value < estimate.high


def test_exchanging_the_models_reverses_every_interval():
    label, group, baseline, candidate = two_models(np.random.default_rng(1), 200)
    forward = all_differences(label, group, baseline, candidate)
    backward = all_differences(label, group, candidate, baseline)
    for name, estimate in forward.items():
        assert (estimate.low, estimate.high) == pytest.approx(
            (-backward[name].high, -backward[name].low)
        )


def test_standard_errors_agree_with_a_paired_bootstrap_of_groups():
    """Draw whole groups with replacement; both models keep the same images."""
    rng = np.random.default_rng(0)
    label, group, baseline, candidate = two_models(rng, 1500, gain=0.3, frequencies=(0.5, 0.3, 0.2))
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    replicates = []
    for _ in range(300):
        drawn = np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        first, second = (
            scores(label[drawn], baseline[drawn]),
            scores(label[drawn], candidate[drawn]),
        )
        replicates.append([second[name] - first[name] for name in first])
    errors = dict(zip(first, np.std(replicates, axis=0), strict=True))
    t = stats.t.ppf(0.975, 600)
    for name, estimate in all_differences(label, group, baseline, candidate).items():
        assert (estimate.high - estimate.low) / (2 * t) == pytest.approx(errors[name], rel=0.15)


@pytest.mark.parametrize("max_group", [1, 4])
def test_intervals_contain_the_true_difference_in_about_95_of_100_simulations(max_group):
    truth_of = two_models(np.random.default_rng(9), 60_000, max_group=max_group, gain=0.3)
    truth = {name: e.value for name, e in all_differences(*truth_of[:2], *truth_of[2:]).items()}
    hits = dict.fromkeys(truth, 0)
    simulations = 200
    for seed in range(simulations):
        data = two_models(np.random.default_rng(seed), 300, max_group=max_group, gain=0.3)
        for name, e in all_differences(*data[:2], *data[2:]).items():
            hits[name] += e.low <= truth[name] <= e.high
    coverage = {name: count / simulations for name, count in hits.items()}
    assert all(0.90 <= fraction <= 0.99 for fraction in coverage.values()), coverage


def test_auroc_intervals_allow_for_rare_classes_that_both_models_separate():
    simulation = import_benchmark("paired_coverage")
    setting = import_benchmark("interval_coverage").SETTINGS["300 images, 8 classes"]

    def simulate(images, seed):
        tables = simulation.simulate_pair(setting, images, np.random.default_rng(seed))
        probability = [table.frame.filter(like="p_class").to_numpy() for table in tables]
        label = tables[0].frame["label"].str.removeprefix("class ").to_numpy(int)
        return label, *probability, tables[0].frame["group_id"].to_numpy(int)

    label, *models, _ = simulate(60_000, 0)
    aurocs = [[roc_auc_score(label == c, p[:, c]) for c in range(8)] for p in models]
    truth = np.subtract(aurocs[1], aurocs[0])
    hits = 0
    for replication in range(400):
        label, *models, group = simulate(300, [7, replication])
        found = macro_auroc_difference(label, *models, group)
        hits += found.low <= truth[np.unique(label)].mean() <= found.high
    assert 0.93 <= hits / 400 <= 0.97


def test_equal_predictions_have_a_difference_of_0_with_a_width_above_0():
    label, group, baseline, _ = two_models(np.random.default_rng(2), 100)
    found = all_differences(label, group, baseline, baseline)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name].value == 0.0
        assert found[name].low == -found[name].high < 0
    for name in ("auroc_macro", "log_loss"):  # no value differs, so there is nothing to estimate
        assert (found[name].value, found[name].low) == (0.0, None)
        assert found[name].reason


def test_images_of_one_group_widen_the_interval():
    rng = np.random.default_rng(3)
    outcome = rng.integers(0, 2, size=(2, 50)).astype(bool)
    repeated = np.repeat(outcome, 4, axis=1)
    single = accuracy_difference(*repeated, np.arange(200))
    grouped = accuracy_difference(*repeated, np.repeat(np.arange(50), 4))
    assert grouped.high - grouped.low == pytest.approx(2 * (single.high - single.low), rel=0.05)


def test_one_group_has_no_interval_but_a_reason():
    found = accuracy_difference(np.array([True, False]), np.array([True, True]), np.zeros(2, int))
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "one group" in found.reason


def test_differences_without_images_or_classes_have_a_reason():
    empty = np.array([], bool)
    assert accuracy_difference(empty, empty, np.array([], int)).reason == "no images to compare"
    label = np.zeros(3, int)
    p = np.tile([0.7, 0.3], (3, 1))
    assert macro_auroc_difference(label, p, p, label).reason == "all images are of one class"


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(outcomes)
def test_exact_test_agrees_with_mcnemar_of_statsmodels(pairs):
    baseline, candidate = np.array(pairs).T
    found = mcnemar_exact(baseline, candidate)
    table = [
        [(baseline & candidate).sum(), (baseline & ~candidate).sum()],
        [(~baseline & candidate).sum(), (~baseline & ~candidate).sum()],
    ]
    assert (found.worse, found.better) == (table[0][1], table[1][0])
    expected = mcnemar(table, exact=True).pvalue if found.worse + found.better else 1.0
    assert found.p_value == pytest.approx(min(1.0, expected))


@given(outcomes)
def test_sign_test_of_single_images_is_the_exact_test_of_mcnemar(pairs):
    baseline, candidate = np.array(pairs).T
    gain = candidate.astype(float) - baseline
    assert sign_test_of_groups(gain, np.arange(len(pairs))) == mcnemar_exact(baseline, candidate)


def test_sign_test_counts_groups():
    found = sign_test_of_groups([1, 1, 1, -1, 1, -1, 0], [0, 0, 0, 1, 2, 2, 3])
    assert (found.better, found.worse, found.p_value) == (1, 1, 1.0)


def test_independent_difference_adds_the_squared_distances():
    first = Estimate(value=0.6, low=0.5, high=0.7, n=50)
    second = Estimate(value=0.8, low=0.72, high=0.86, n=40)
    found = independent_difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - np.hypot(0.08, 0.1))
    assert found.high == pytest.approx(0.2 + np.hypot(0.06, 0.1))


def test_independent_difference_keeps_the_reason_of_a_missing_value_or_interval():
    known = Estimate(value=0.6, low=0.5, high=0.7, n=50)
    assert independent_difference(known, unavailable("no images")).reason == "no images"
    point = Estimate(value=0.8, low=None, high=None, n=5, reason="too few groups")
    found = independent_difference(known, point)
    assert (found.low, found.reason) == (None, "too few groups")
    assert found.value == pytest.approx(0.2)
