"""Both kinds of probabilities, on data whose true probabilities are known."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from skin_lesions.metrics.calibration import expected_calibration_error
from skin_lesions.models.postprocessing.probabilities import (
    IMPLIED_EXPONENTS,
    class_frequencies,
    class_probabilities,
)
from skin_lesions.models.postprocessing.temperature import fit_temperature
from skin_lesions.training.losses import build_loss, sampling_weights
from support.recipes import recipe

COUNTS = (800, 150, 50)
TRAINING = np.array(COUNTS) / 1000
EQUAL = np.ones(3) / 3
BALANCES = tuple(IMPLIED_EXPONENTS)
CENTERS = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.8]])  # of the features of each class


def draw(n, class_frequencies, seed=0):
    """Draw labels with these frequencies, and normal features; return log p(features | class)."""
    rng = np.random.default_rng(seed)
    label = rng.choice(3, size=n, p=class_frequencies)
    features = CENTERS[label] + rng.normal(size=(n, 2))
    return -((features[:, None] - CENTERS) ** 2).sum(axis=2) / 2, label


def posterior(log_likelihood, class_frequencies):
    """Return the true probabilities by Bayes' theorem."""
    joint = np.exp(log_likelihood) * class_frequencies
    return joint / joint.sum(axis=1, keepdims=True)


def network_logits(log_likelihood, exponent, temperature):
    """Return the logits of a perfect network, except that they are too large or too small."""
    implied = TRAINING**exponent / (TRAINING**exponent).sum()
    arbitrary_constant = np.linspace(-3, 3, len(log_likelihood))[:, None]
    return temperature * (log_likelihood + np.log(implied)) + arbitrary_constant


def fit(log_likelihood, label, balance, temperature=2.0, decision="auto"):
    """Return the fit, and a function from log-likelihoods to probabilities."""
    exponent = {"none": 1, "weights": 0, "square_root_sampler": 0.5, "logit_adjustment": 0}[balance]
    frequencies = class_frequencies(COUNTS, balance, decision)
    fitted = fit_temperature(
        network_logits(log_likelihood, exponent, temperature),
        label,
        frequencies.of_training_images,
        frequencies.log_ratio_to_training,
    )

    def predict(other):
        logits = network_logits(other, exponent, temperature)
        return class_probabilities(logits, fitted.temperature, frequencies)

    return fitted, predict


def error(probabilities, predicted, label):
    confidence = probabilities[np.arange(label.size), predicted]
    return expected_calibration_error(confidence, predicted == label)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_fitted_probabilities_are_the_true_ones_for_both_class_frequencies(balance, temperature):
    fitted, predict = fit(*draw(30_000, TRAINING), balance, temperature)
    assert fitted.temperature == pytest.approx(temperature, rel=0.03)
    test, _ = draw(2000, TRAINING, seed=1)
    found = predict(test)
    np.testing.assert_allclose(found.frequency, posterior(test, TRAINING), atol=0.02)
    np.testing.assert_allclose(found.balanced, posterior(test, EQUAL), atol=0.02)


@pytest.mark.parametrize("balance", BALANCES)
def test_each_kind_is_calibrated_on_images_of_its_frequencies_and_not_on_others(balance):
    _, predict = fit(*draw(30_000, TRAINING), balance)
    common, common_label = draw(30_000, TRAINING, seed=1)
    equal, equal_label = draw(30_000, EQUAL, seed=2)
    of_common, of_equal = predict(common), predict(equal)
    assert error(of_common.frequency, of_common.frequency.argmax(1), common_label) < 0.015
    assert error(of_equal.balanced, of_equal.balanced.argmax(1), equal_label) < 0.015
    assert error(of_common.balanced, of_common.balanced.argmax(1), common_label) > 0.03
    assert error(of_equal.frequency, of_equal.frequency.argmax(1), equal_label) > 0.03


@pytest.mark.parametrize("balance", BALANCES)
def test_temperature_is_recovered_if_the_validation_images_have_other_frequencies(balance):
    fitted, _ = fit(*draw(30_000, np.array([0.2, 0.2, 0.6])), balance)
    assert fitted.temperature == pytest.approx(2.0, rel=0.05)
    assert fitted.n == 30_000
    assert fitted.n_effective < 0.5 * fitted.n


@pytest.mark.parametrize("balance", BALANCES)
def test_temperature_is_recovered_without_validation_images_of_a_class(balance):
    fitted, predict = fit(*draw(30_000, np.array([0.7, 0.3, 0.0])), balance)
    assert fitted.temperature == pytest.approx(2.0, rel=0.05)
    test, _ = draw(2000, TRAINING, seed=1)
    np.testing.assert_allclose(predict(test).frequency, posterior(test, TRAINING), atol=0.03)


def test_temperature_stays_1_if_all_validation_images_are_of_one_class():
    fitted, _ = fit(*draw(50, np.array([1.0, 0.0, 0.0])), "logit_adjustment")
    assert fitted.temperature == 1.0


def test_equal_weights_with_shifted_logits_vary_less_than_weights_for_equal_frequencies():
    """The reason for the fit at the class frequencies of the training images (docs/decisions)."""
    shifted, weighted = [], []
    for seed in range(60):
        log_likelihood, label = draw(300, TRAINING, seed)
        shifted.append(fit(log_likelihood, label, "logit_adjustment")[0].temperature)
        logits = network_logits(log_likelihood, 0.0, 2.0)
        weighted.append(fit_temperature(logits, label, EQUAL).temperature)
    assert np.std(shifted) < 0.8 * np.std(weighted)
    assert np.mean(shifted) == pytest.approx(2.0, abs=0.1)


TABLE = np.array([[60, 2, 1], [30, 14, 2], [10, 8, 7]])  # training images: (features, classes)


@pytest.mark.parametrize("balance", BALANCES)
def test_exponents_are_those_that_the_training_loss_produces(balance):
    """A network that fits the loss perfectly, converted, has the frequencies of the images."""
    feature, label = np.nonzero(TABLE)
    images = TABLE[feature, label]
    counts = TABLE.sum(axis=0)
    changes = recipe(class_balance=balance)
    loss = build_loss(counts, changes, torch.device("cpu"))
    drawn = sampling_weights(np.repeat(np.arange(3), counts), changes)
    if drawn is not None:  # weight of one image of each class
        images = images * drawn[np.cumsum(counts) - 1][label]
    logits = torch.zeros(3, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")
    targets = one_hot(torch.from_numpy(label), 3).float()

    def closure():
        optimizer.zero_grad()
        cells = [
            loss(logits[f : f + 1], targets[i : i + 1]) * float(images[i] / sum(images))
            for i, f in enumerate(feature)
        ]
        total = sum(cells)
        total.backward()
        return total

    optimizer.step(closure)
    frequencies = class_frequencies(counts.tolist(), balance, "auto")
    found = class_probabilities(logits.detach().numpy(), 1.0, frequencies)
    equal = TABLE / counts
    np.testing.assert_allclose(found.frequency, TABLE / TABLE.sum(axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(found.balanced, equal / equal.sum(axis=1, keepdims=True), atol=1e-3)


@pytest.mark.parametrize(
    ("balance", "decision", "resolved"),
    [
        ("none", "auto", "frequency"),
        ("weights", "auto", "balanced"),
        ("square_root_sampler", "auto", "balanced"),
        ("logit_adjustment", "auto", "balanced"),
        ("none", "balanced", "balanced"),
        ("logit_adjustment", "frequency", "frequency"),
    ],
)
def test_prediction_follows_the_decision(balance, decision, resolved):
    frequencies = class_frequencies(COUNTS, balance, decision)
    assert frequencies.decision == resolved
    logits, _ = draw(500, TRAINING)
    found = class_probabilities(logits, 1.5, frequencies)
    by_frequency, balanced = found.frequency.argmax(axis=1), found.balanced.argmax(axis=1)
    assert (by_frequency != balanced).any()
    expected = balanced if resolved == "balanced" else by_frequency
    assert (found.predicted == expected).all()
    assert found.confidence == pytest.approx(found.frequency[np.arange(500), expected])


@pytest.mark.parametrize("balance", BALANCES)
def test_class_without_training_images_has_finite_probabilities(balance):
    frequencies = class_frequencies((5, 0, 5), balance, "auto")
    found = class_probabilities([[0.0, 1.0, 0.0]], 1.0, frequencies)
    for probabilities in (found.frequency, found.balanced):
        assert (probabilities > 0).all()
        assert probabilities.sum() == pytest.approx(1)


def test_equally_common_classes_have_equal_probabilities_of_both_kinds():
    logits, _ = draw(20, EQUAL)
    found = class_probabilities(logits, 1.0, class_frequencies((7, 7, 7), "none", "auto"))
    assert found.frequency == pytest.approx(found.balanced)


def test_logits_of_another_number_of_classes_are_rejected():
    with pytest.raises(ValueError, match=r"\(images, 3 classes\), got \(2, 4\)"):
        class_probabilities(np.zeros((2, 4)), 1.0, class_frequencies(COUNTS, "none", "auto"))


@pytest.mark.parametrize("frequencies", [[0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.5, np.nan]])
def test_invalid_class_frequencies_are_rejected(frequencies):
    with pytest.raises(ValueError, match="3 finite values above 0"):
        fit_temperature(np.zeros((2, 3)), [0, 1], frequencies)
