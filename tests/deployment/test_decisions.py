from dataclasses import replace

import numpy as np
import pytest

from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.postprocessing.conformal import ClassThreshold, ConformalThresholds
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from support.postprocessing import postprocessing, unknown_score
from support.predictors import description

RNG = np.random.default_rng(0)
OUTPUTS = NetworkOutputs(logits=RNG.normal(size=(40, 2)) * 3, features=RNG.random((40, 3)))
FITTED = postprocessing((3, 1), unknown_score=unknown_score(features=3))


def predictions(outputs=OUTPUTS, **changes):
    model = description(postprocessing=replace(FITTED, **changes))
    return Postprocessor(model).predictions(outputs)


def thresholds(*values):
    return ConformalThresholds(
        coverage=0.9,
        classes=tuple(
            ClassThreshold(min_probability=value, calibrated_on="class", n=20) for value in values
        ),
    )


def test_predicted_class_has_the_largest_balanced_probability_if_the_model_decides_so():
    for found in predictions():
        number = int(np.argmax(found.balanced_probabilities))
        assert found.predicted == ("nv", "mel")[number]
        assert found.confidence == found.probabilities[number]
    assert any(
        np.argmax(f.balanced_probabilities) != np.argmax(f.probabilities) for f in predictions()
    )


def test_balanced_probabilities_are_left_out_if_the_model_does_not_use_them():
    found = predictions(frequencies=class_frequencies((3, 1), "logit_adjustment", "frequency"))
    assert {f.balanced_probabilities for f in found} == {None}
    assert all(f.predicted == ("nv", "mel")[int(np.argmax(f.probabilities))] for f in found)


def test_probabilities_are_calibrated_for_the_frequencies_of_the_training_images():
    logits = OUTPUTS.logits / 1.5 + np.log([3, 1])  # temperature and training images of FITTED
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([f.probabilities for f in predictions()], expected)


def test_prediction_set_has_the_classes_above_their_thresholds_most_probable_first():
    for found in predictions(conformal=thresholds(0.7, 0.1)):
        nv, mel = found.probabilities
        expected = [("nv", nv)] * (nv >= 0.7) + [("mel", mel)] * (mel >= 0.1)
        expected.sort(key=lambda member: -member[1])
        assert found.prediction_set == tuple(name for name, _ in expected)
    assert {len(f.prediction_set) for f in predictions(conformal=thresholds(0.7, 0.4))} == {0, 1}


def test_images_are_referred_if_they_are_uncertain_or_unknown():
    unknown = replace(FITTED.unknown_score, threshold=1.0)
    found = predictions(unknown_score=unknown)
    for prediction in found:
        assert ("uncertain" in prediction.referral_reasons) == (prediction.confidence < 0.6)
        assert ("unknown" in prediction.referral_reasons) == (prediction.unknown_score > 1.0)
        assert prediction.is_unknown == (prediction.unknown_score > 1.0)
        assert prediction.refer == bool(prediction.referral_reasons)
    reasons = {prediction.referral_reasons for prediction in found}
    assert reasons == {(), ("uncertain",), ("unknown",), ("uncertain", "unknown")}


def test_all_images_are_referred_if_no_threshold_reaches_the_accuracy():
    referral = replace(FITTED.referral, min_confidence=None, reason="too few images", accuracy=None)
    found = predictions(referral=referral)
    assert all("uncertain" in prediction.referral_reasons for prediction in found)
    (warning,) = description(postprocessing=replace(FITTED, referral=referral)).warnings()
    assert "all images are referred: too few images" in warning


def test_models_of_synthetic_images_have_a_warning():
    assert description().warnings() == []
    (warning,) = description(is_synthetic=True).warnings()
    assert "say nothing about real skin" in warning


def test_logits_that_are_not_finite_are_an_error():
    logits = np.full((1, 2), np.nan)
    with pytest.raises(ValueError, match="not finite"):
        predictions(NetworkOutputs(logits=logits, features=np.zeros((1, 3))))
