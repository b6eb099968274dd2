import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from skin_lesions.metrics.bootstrap import (
    bootstrap,
    percentile_estimate,
    resampled_weights,
    row_sums,
)
from skin_lesions.metrics.intervals import (
    Estimate,
    effective_n,
    f1_estimate,
    hanley_mcneil,
    mover_interval,
    proportion,
    unavailable,
    unite,
    widen,
    wilson_interval,
)
from skin_lesions.metrics.linearization import auroc_and_influence

outcomes = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40)


def simulate_clusters(rng, groups, accuracy, correlation):
    """Draw right and wrong for groups of 1 to 5 images with this intraclass correlation."""
    a, b = (p * (1 - correlation) / correlation for p in (accuracy, 1 - accuracy))
    group = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    return rng.random(group.size) < rng.beta(a, b, groups)[group], group


def coverage(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


# Proportions


@pytest.mark.parametrize("n", [1, 2, 7, 100, 4000])
@pytest.mark.parametrize("observed", [0.0, 0.25, 0.5, 0.99, 1.0])
def test_wilson_agrees_with_statsmodels(observed, n):
    expected = proportion_confint(observed * n, n, method="wilson")
    assert wilson_interval(observed, n) == pytest.approx(expected, abs=1e-12)


def test_wilson_accepts_a_fractional_number_of_trials():
    assert wilson_interval(0.8, 11)[0] > wilson_interval(0.8, 10.5)[0] > wilson_interval(0.8, 10)[0]


@pytest.mark.parametrize(("observed", "n"), [(-0.1, 5), (1.1, 5), (0.5, 0), (float("nan"), 5)])
def test_wilson_rejects_invalid_proportions_and_trials(observed, n):
    with pytest.raises(
        ValueError, match="Invalid proportion|Invalid number of trials for a proportion"
    ):
        wilson_interval(observed, n)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_one_image_per_group_gives_exactly_the_plain_wilson_interval(success):
    grouped = proportion(success, np.arange(len(success)))
    assert grouped == proportion(success)
    assert (grouped.low, grouped.high) == wilson_interval(np.mean(success), len(success))


def test_doubled_images_add_no_information():
    success = np.random.default_rng(0).random(2000) < 0.7
    doubled = effective_n(np.repeat(success, 2), np.repeat(np.arange(2000), 2))
    assert doubled == pytest.approx(2000, rel=0.01)


def test_design_effect_is_the_cluster_variance_over_the_binomial_variance():
    rng = np.random.default_rng(1)
    success, group = simulate_clusters(rng, 400, accuracy=0.7, correlation=0.5)
    _, sizes = np.unique(group, return_counts=True)
    hits = np.bincount(group, weights=success)
    drawn = rng.integers(400, size=(4000, 400))  # a bootstrap of groups as reference
    spread = np.var(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    expected = success.mean() * (1 - success.mean()) / spread
    assert effective_n(success, group) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("groups", [12, 30, 80])
def test_design_effect_agrees_with_the_cluster_robust_variance_of_statsmodels(groups):
    success, group = simulate_clusters(
        np.random.default_rng(8), groups, accuracy=0.6, correlation=0.3
    )
    model = OLS(success.astype(float), np.ones(success.size))
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": group}).bse[0]
    design_effect = (robust / model.fit().bse[0]) ** 2
    assert design_effect > 1
    t = stats.t.ppf(0.975, [success.size - 1, groups - 1])
    expected = success.size / design_effect * (t[0] / t[1]) ** 2
    assert effective_n(success, group) == pytest.approx(expected)


def test_disagreement_within_groups_does_not_raise_the_effective_number():
    success = np.tile([True, False], 50)  # half of each group is right: no variance between groups
    assert 95 < effective_n(success, np.repeat(np.arange(50), 2)) <= 100


@pytest.mark.parametrize("right", [True, False])
def test_effective_number_is_that_of_kish_if_all_are_right_or_all_are_wrong(right):
    group = [0, 0, 0, 1, 1, 2]
    assert effective_n([right] * 6, group) == pytest.approx(36 / (9 + 4 + 1))


def test_one_group_counts_as_one_image():
    assert effective_n([True, False, True], ["a"] * 3) == 1.0


@given(outcomes)
def test_interval_contains_the_proportion_and_is_never_narrower_than_without_groups(rows):
    success, group = map(np.array, zip(*rows, strict=True))
    plain, grouped = proportion(success), proportion(success, group)
    sizes = np.bincount(group)
    assert len(rows) ** 2 / (sizes**2).sum() - 1e-9 <= grouped.n_effective <= len(rows)
    assert 0 <= grouped.low <= plain.low <= success.mean() <= plain.high <= grouped.high <= 1


@pytest.mark.parametrize("groups", [10, 40])
def test_coverage_of_clustered_outcomes_requires_the_design_effect(groups):
    rng = np.random.default_rng(2)
    drawn = [simulate_clusters(rng, groups, accuracy=0.8, correlation=0.6) for _ in range(300)]
    grouped = [proportion(success, group) for success, group in drawn]
    plain = [wilson_interval(success.mean(), success.size) for success, _ in drawn]
    assert coverage([(e.low, e.high) for e in grouped], 0.8) >= 0.92
    assert coverage(plain, 0.8) <= 0.85


def test_proportion_of_no_images_is_none_with_a_reason():
    estimate = proportion([], [])
    assert estimate.value is estimate.low is estimate.high is None
    assert "no images to compute a proportion" in estimate.reason


def test_groups_of_another_length_are_rejected():
    with pytest.raises(ValueError, match="one entry for each of 3 rows"):
        proportion([True, False, True], [1, 2])


# F1


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1))
def test_f1_agrees_with_scikit_learn_and_is_inside_its_interval(rows):
    true, predicted, group = map(np.array, zip(*rows, strict=True))
    estimate = f1_estimate(true, predicted, group)
    if not true.any():
        assert estimate == unavailable("no images of this class")
        return
    assert estimate.value == pytest.approx(f1_score(true, predicted))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high


def test_interval_of_f1_has_the_nominal_coverage():
    rng = np.random.default_rng(3)
    recall, false_alarms, prevalence = 0.8, 0.05, 0.2
    hits = recall * prevalence
    truth = 2 * hits / (hits + prevalence + false_alarms * (1 - prevalence))
    intervals = []
    for _ in range(300):
        true = rng.random(300) < prevalence
        estimate = f1_estimate(true, rng.random(300) < np.where(true, recall, false_alarms))
        intervals.append((estimate.low, estimate.high))
    assert 0.92 <= coverage(intervals, truth) <= 0.98


# The bootstrap


@given(outcomes, st.integers(0, 2**32 - 1))
def test_replicates_have_complete_groups_and_the_number_of_groups_per_class(rows, seed):
    label, group = map(np.array, zip(*rows, strict=True))
    (weights,) = resampled_weights(label, group, 7, seed)
    assert weights.shape == (len(rows), 7)
    for value in np.unique(label):
        cells = [
            weights[(label == value) & (group == name)] for name in np.unique(group[label == value])
        ]
        assert all((cell == cell[0]).all() for cell in cells)
        assert (sum(cell[0] for cell in cells) == len(cells)).all()


def test_groups_are_drawn_with_multinomial_frequencies():
    (weights,) = resampled_weights(np.zeros(4), np.arange(4), 20_000, seed=0)
    assert weights.mean(axis=1) == pytest.approx(np.ones(4), abs=0.03)
    assert weights.var(axis=1) == pytest.approx(np.full(4, 0.75), abs=0.05)  # multinomial


def test_equal_seeds_give_equal_replicates_for_any_group_names():
    label, group = np.arange(60) % 3, np.arange(60) // 2
    names = np.array([f"lesion {g:03d}" for g in group])
    first, again, other = (
        np.concatenate(list(resampled_weights(label, g, 30, seed)), axis=1)
        for g, seed in ((group, 5), (names, 5), (group, 6))
    )
    assert (first == again).all()
    assert (first != other).any()


def test_many_rows_are_drawn_in_chunks_that_sum_to_the_replicates():
    shapes = [w.shape for w in resampled_weights(np.zeros(400_000), np.arange(400_000), 5, 0)]
    assert shapes == [(400_000, 2), (400_000, 2), (400_000, 1)]


def test_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(4).exponential(size=300)
    total = row_sums(np.zeros(300, dtype=int), 1, values)
    drawn = bootstrap(
        lambda weights: {"mean": (total @ weights)[0] / 300},
        np.zeros(300),
        np.arange(300),
        replicates=4000,
        seed=0,
    )
    ours = percentile_estimate(values.mean(), drawn["mean"], 300)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.015)


def test_images_of_one_group_widen_the_bootstrap_interval():
    rng = np.random.default_rng(5)
    values, group = np.repeat(rng.normal(size=100), 4), np.repeat(np.arange(100), 4)
    total = row_sums(np.zeros(400, dtype=int), 1, values)
    single, grouped = (
        np.std(
            bootstrap(
                lambda weights: {"mean": (total @ weights)[0] / 400},
                np.zeros(400),
                names,
                replicates=2000,
                seed=0,
            )["mean"]
        )
        for names in (np.arange(400), group)
    )
    assert grouped / single == pytest.approx(2.0, rel=0.1)


def test_equal_replicates_give_no_interval_but_a_reason():
    found = percentile_estimate(0.3, np.full(10, 0.3), 5)
    assert (found.value, found.low, found.high) == (0.3, None, None)
    assert "too few groups" in found.reason


@pytest.mark.parametrize("value", [0.1, 0.9])
def test_interval_contains_a_value_that_the_percentiles_miss(value):
    found = percentile_estimate(value, np.linspace(0.4, 0.6, 101), 4)
    assert (found.low, found.high) == pytest.approx((min(value, 0.405), max(value, 0.595)))


# Intervals for small numbers


@pytest.mark.parametrize("auroc", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_interval_of_the_auroc_of_one_pair_is_that_of_a_proportion(auroc):
    assert hanley_mcneil(auroc, 1, 1) == pytest.approx(wilson_interval(auroc, 1), abs=1e-6)


def test_bounds_of_an_auroc_agree_with_the_standard_error_of_hanley_and_mcneil():
    low, high = hanley_mcneil(0.85, 20, 80)
    for bound in (low, high):
        q1, q2 = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        variance = (bound * (1 - bound) + 19 * (q1 - bound**2) + 79 * (q2 - bound**2)) / (20 * 80)
        assert abs(0.85 - bound) / np.sqrt(variance) == pytest.approx(1.959964, abs=1e-4)
    assert low < 0.85 < high


@given(st.floats(0, 1), st.floats(1, 1e5), st.floats(1, 1e5))
def test_interval_of_an_auroc_contains_it_and_stays_within_0_and_1(auroc, m, n):
    low, high = hanley_mcneil(auroc, m, n)
    assert 0 <= low <= auroc <= high <= 1
    assert low < high


@pytest.mark.parametrize("positives", [3, 10, 40])
def test_interval_of_the_auroc_of_a_rare_class_has_coverage(positives):
    rng = np.random.default_rng(6)
    positive = np.arange(200 + positives) < positives
    truth = stats.norm.cdf(2 / np.sqrt(2))
    intervals = []
    for _ in range(300):
        auroc, _ = auroc_and_influence(rng.normal(2.0 * positive), positive)
        intervals.append(hanley_mcneil(auroc, positives, 200))
    assert coverage(intervals, truth) >= 0.94


def test_mover_covers_the_mean_recall_of_small_classes_and_the_bootstrap_does_not():
    rng = np.random.default_rng(7)
    label = np.repeat(np.arange(4), [3, 3, 100, 100])
    sizes = np.bincount(label)[:, None]
    by_mover, by_bootstrap = [], []
    for seed in range(200):
        right = rng.random(206) < 0.9
        by_mover.append(mover_interval([proportion(right[label == c]) for c in range(4)]))
        hits = row_sums(label, 4, right.astype(int))
        means = bootstrap(
            lambda w, hits=hits: {"mean": ((hits @ w) / sizes).mean(axis=0)},
            label,
            np.arange(206),
            replicates=200,
            seed=seed,
        )["mean"]
        by_bootstrap.append(np.quantile(means, [0.025, 0.975]))
    assert coverage(by_mover, 0.9) >= 0.88
    assert coverage(by_bootstrap, 0.9) <= 0.6


def test_mover_of_one_estimate_is_its_interval():
    estimate = proportion([True] * 9 + [False])
    assert mover_interval([estimate]) == pytest.approx((estimate.low, estimate.high))


def test_mover_adds_distances_like_standard_errors():
    one = Estimate(value=0.5, low=0.3, high=0.9, n=5)
    assert mover_interval([one] * 4) == pytest.approx((0.5 - 0.2 / 2, 0.5 + 0.4 / 2))


def test_mover_rejects_estimates_without_an_interval():
    with pytest.raises(ValueError, match="all have value and interval"):
        mover_interval([unavailable("no images")])


def test_widening_never_narrows():
    estimate = Estimate(value=0.5, low=0.3, high=0.6, n=5)
    assert widen(estimate, 0.4, 0.7) == Estimate(value=0.5, low=0.3, high=0.7, n=5)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0.3, 0.6), None], (0.3, 0.6)),
        ([(0.6, 0.7), (-0.1, 0.2)], (0.0, 0.7)),
        ([(0.2, 1.4)], (0.2, 1.0)),
        ([(0.6, 0.7)], (0.5, 0.7)),
    ],
)
def test_united_interval_contains_the_value_and_stays_within_0_and_the_highest(intervals, expected):
    estimate = unite(0.5, 9, intervals)
    assert (estimate.low, estimate.high) == expected
    assert unite(0.5, 9, [None]).reason == "all groups agree, so the data show no variance"


# Estimates


def test_estimate_rejects_nan_and_missing_values_without_a_reason():
    with pytest.raises(ValueError, match="not finite"):
        Estimate(value=float("nan"), low=0.0, high=1.0, n=3)
    with pytest.raises(ValueError, match="Expected a reason"):
        Estimate(value=None, low=None, high=None, n=3)
    with pytest.raises(ValueError, match="Expected a reason"):
        Estimate(value=0.5, low=None, high=None, n=3)


def test_estimates_in_json_have_only_the_keys_that_apply():
    adapter = TypeAdapter(dict[str, Estimate])
    estimates = {
        "full": Estimate(value=0.5, low=0.1, high=0.9, n=4, n_effective=2.0),
        "gap": unavailable("no images"),
    }
    assert json.loads(adapter.dump_json(estimates)) == {
        "full": {"value": 0.5, "low": 0.1, "high": 0.9, "n": 4, "n_effective": 2.0},
        "gap": {"value": None, "low": None, "high": None, "n": 0, "reason": "no images"},
    }
    assert adapter.validate_json(adapter.dump_json(estimates)) == estimates
    schema = adapter.json_schema()["$defs"]["Estimate"]
    assert schema["required"] == ["value", "low", "high", "n"]


def test_replaced_estimate_is_checked_again():
    estimate = Estimate(value=0.5, low=0.1, high=0.9, n=4)
    assert replace(estimate, n=5).n == 5
    with pytest.raises(ValueError, match="not finite"):
        replace(estimate, low=float("-inf"))
