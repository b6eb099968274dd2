"""The layers of the exported network compute what the postprocessing computes."""

import numpy as np
import pytest
import torch

from skin_lesions.deployment.onnx_postprocessing import CalibratedSoftmax, UnknownScore
from skin_lesions.models.postprocessing.probabilities import class_frequencies, class_probabilities
from skin_lesions.models.postprocessing.unknown_score import UnknownScorer, fit_unknown_statistics
from support.postprocessing import postprocessing

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (50, 4)).astype(np.float32)
# Correlated features, as those of a network, of which some are constant.
FEATURES = (RNG.normal(0, 1, (200, 10)) @ RNG.normal(0, 1, (10, 40)) + 2).clip(0)
FEATURES[:, :3] = 0


@pytest.mark.parametrize("method", ["mahalanobis", "nearest_neighbors", "energy"])
def test_unknown_scores_are_those_of_the_fitted_method(method):
    statistics = fit_unknown_statistics(method, FEATURES[:150], np.arange(150) % 4, 0)
    features = FEATURES[150:].astype(np.float32)
    features[0] = 0  # its length cannot be normalized
    found = UnknownScore(statistics)(torch.from_numpy(LOGITS), torch.from_numpy(features))
    expected = UnknownScorer(statistics).scores(LOGITS.astype(float), features.astype(float))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("class_balance", ["none", "square_root_sampler", "logit_adjustment"])
def test_probabilities_are_those_for_the_frequencies_of_the_training_images(class_balance):
    frequencies = class_frequencies((90, 0, 5, 1), class_balance, "auto")
    fitted = postprocessing((90, 0, 5, 1), frequencies=frequencies)
    expected = class_probabilities(LOGITS, fitted.calibration.temperature, frequencies)
    found = CalibratedSoftmax(fitted)(torch.from_numpy(LOGITS))
    np.testing.assert_allclose(found.numpy(), expected.frequency, atol=1e-6)
