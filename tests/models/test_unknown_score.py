import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from skin_lesions.models.postprocessing import unknown_score
from skin_lesions.models.postprocessing.unknown_score import (
    MAX_DIRECTIONS,
    MAX_NEIGHBORS_PER_CLASS,
    NEIGHBOR,
    StoredArray,
    UnknownScorer,
    fit_threshold,
    fit_unknown_statistics,
    normalize,
)

METHODS = ["mahalanobis", "nearest_neighbors", "energy"]


def clusters(n, seed=0, features=12, classes=3):
    """Make features of classes with different means and one covariance, and logits."""
    rng = np.random.default_rng(seed)
    means = 3 * np.random.default_rng(99).normal(size=(classes, features))
    mix = np.random.default_rng(98).normal(size=(features, features)) / 3
    labels = np.arange(n) % classes
    x = means[labels] + rng.normal(size=(n, features)) @ mix
    logits = -((x[:, None] - means) ** 2).sum(axis=2) / 10
    return x, labels, logits


def scores(method, features, labels, new, logits=None):
    logits = np.zeros((len(new), 2)) if logits is None else logits
    statistics = fit_unknown_statistics(method, features, labels, seed=0)
    return UnknownScorer(statistics).scores(logits, new)


def test_mahalanobis_distance_equals_scikit_learn_if_all_directions_but_one_are_estimated():
    x, labels, _ = clusters(3000)
    new = np.random.default_rng(1).normal(size=(50, 12)) * 3
    means = np.stack([x[labels == c].mean(axis=0) for c in range(3)])
    covariance = EmpiricalCovariance(assume_centered=True).fit(x - means[labels])
    expected = np.min([covariance.mahalanobis(new - mean) for mean in means], axis=0)
    found = scores("mahalanobis", x, labels, new)
    np.testing.assert_allclose(found * 12, expected, rtol=1e-3)


def test_mahalanobis_distance_equals_the_inverse_of_the_complete_covariance(monkeypatch):
    monkeypatch.setattr(unknown_score, "MAX_DIRECTIONS", 4)
    x, labels, _ = clusters(300)
    new, _, _ = clusters(40, seed=5)
    centered = x.copy()
    means = np.stack([centered[labels == c].mean(axis=0) for c in range(3)])
    centered -= means[labels]
    values, vectors = np.linalg.eigh(centered.T @ centered / 300)
    values[:-4] = values[:-4].mean()  # probabilistic PCA with 4 directions
    inverse = np.linalg.inv(vectors @ np.diag(values) @ vectors.T)
    deviation = new[:, None] - means
    expected = np.einsum("ncf,fg,ncg->nc", deviation, inverse, deviation).min(axis=1) / 12
    np.testing.assert_allclose(scores("mahalanobis", x, labels, new), expected, rtol=1e-4)


@pytest.mark.parametrize("n", [3, 4, 9, 60, 700])
def test_distance_to_the_fifth_neighbor_equals_scikit_learn(n):
    x, labels, _ = clusters(n)
    new, _, _ = clusters(20, seed=3)
    # With more images of a class than are stored, the neighbors are a random part of them.
    statistics = fit_unknown_statistics("nearest_neighbors", x, labels, seed=0)
    stored = statistics.arrays["neighbors"].decode()
    assert len(stored) == min(n, 3 * MAX_NEIGHBORS_PER_CLASS)
    rank = min(NEIGHBOR, len(stored))
    distances, _ = NearestNeighbors(n_neighbors=rank).fit(stored).kneighbors(normalize(new))
    found = UnknownScorer(statistics).scores(np.zeros((20, 2)), new)
    np.testing.assert_allclose(found, distances[:, -1], rtol=1e-5)


def test_energy_is_the_negative_logarithm_of_the_softmax_denominator():
    logits = np.random.default_rng(0).normal(size=(9, 4)) * 5
    x, labels, _ = clusters(9)
    expected = np.log(softmax(logits, axis=1)[:, 0]) - logits[:, 0]
    np.testing.assert_allclose(scores("energy", x, labels, x, logits), expected)


@pytest.mark.parametrize("method", METHODS)
def test_images_of_another_class_have_higher_scores(method):
    x, labels, _ = clusters(600)
    known, _, known_logits = clusters(200, seed=1)
    rng = np.random.default_rng(4)
    other = 3 * rng.normal(size=(1, 12)) + 0.3 * rng.normal(size=(200, 12))
    other_logits = known_logits * 0  # an uncertain prediction
    if method == "energy":
        known_logits = known_logits + 9  # a confident network has large logits
    new, logits = np.concatenate([known, other]), np.concatenate([known_logits, other_logits])
    found = scores(method, x, labels, new, logits)
    assert roc_auc_score(np.arange(400) >= 200, found) > 0.95


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_or_equal_training_images_give_finite_scores(method, n):
    x = np.ones((n, 6))
    new = np.stack([x[0], 0 * x[0], x[0] + np.arange(6)])
    found = scores(method, x, np.zeros(n, int), new)
    assert np.isfinite(found).all()
    if method != "energy":
        assert found[0] == pytest.approx(0, abs=1e-6)
        assert found[2] > found[0]


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
def test_scores_do_not_depend_on_the_unit_of_the_features(scale, seed):
    x, labels, _ = clusters(60)
    new, _, _ = clusters(10, seed=seed)
    of_neighbors = scores("nearest_neighbors", x, labels, new)
    # The distance to neighbors depends only on the direction of the features.
    np.testing.assert_allclose(
        scores("nearest_neighbors", x, labels, new * scale), of_neighbors, rtol=1e-6
    )
    np.testing.assert_allclose(
        scores("mahalanobis", x * scale, labels, new * scale),
        scores("mahalanobis", x, labels, new),
        rtol=1e-3,
    )


@given(
    values=st.lists(st.integers(0, 30), min_size=1, max_size=200),
    fraction=st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.5]),
)
def test_threshold_flags_at_most_the_fraction_and_almost_as_many_without_ties(values, fraction):
    x, labels, _ = clusters(6)
    statistics = fit_unknown_statistics("energy", x, labels, 0)
    found = np.array(values, float)
    fit = fit_threshold(statistics, found, fraction)
    assert fit.flagged_fraction == (found > fit.threshold).mean() <= fraction
    distinct = fit_threshold(statistics, np.arange(len(values), dtype=float), fraction)
    assert distinct.flagged_fraction > fraction - 1 / len(values) - 1e-9
    assert fit.n == len(values)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=6, max_size=6))
def test_stored_array_has_the_values_and_shape(values):
    array = np.array(values).reshape(2, 3)
    np.testing.assert_array_equal(StoredArray.encode(array).decode(), array)


def test_size_in_the_model_file_is_limited():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(2000, 600)), np.arange(2000) % 4
    for method, numbers in (
        ("mahalanobis", (MAX_DIRECTIONS + 4) * 600 + MAX_DIRECTIONS + 1),
        ("nearest_neighbors", 4 * MAX_NEIGHBORS_PER_CLASS * 600),
        ("energy", 0),
    ):
        statistics = fit_unknown_statistics(method, x, labels, 0)
        assert sum(np.prod(array.shape) for array in statistics.arrays.values()) == numbers


def test_features_that_are_not_finite_or_do_not_match_are_rejected():
    with pytest.raises(ValueError, match="not finite"):
        fit_unknown_statistics("energy", np.array([[np.nan, 1.0]]), np.array([0]), 0)
    with pytest.raises(ValueError, match=r"one label for each image, got \(2, 1\) and \(3,\)"):
        fit_unknown_statistics("energy", np.ones((2, 1)), np.zeros(3, int), 0)
    x, labels, _ = clusters(6)
    statistics = fit_unknown_statistics("energy", x, labels, 0)
    with pytest.raises(ValueError, match="threshold of the unknown score is nan"):
        fit_threshold(statistics, np.array([np.nan]), 0.05)
