import numpy as np
import pandas as pd
import pytest

from skin_lesions.evaluation.external.temperature import check_temperature
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.models.postprocessing.temperature import softmax_with_temperature

CLASSES = ["a", "b", "c"]
LOG_PRIOR = np.log([0.6, 0.3, 0.1])


def rows(logits, labels, temperature, groups=None):
    probability = softmax_with_temperature(logits, temperature, LOG_PRIOR)
    table = pd.DataFrame(probability, columns=[f"p_{name}" for name in CLASSES])
    return prediction_arrays(
        table.assign(
            label=[CLASSES[c] for c in labels],
            predicted=[CLASSES[c] for c in probability.argmax(axis=1)],
            group_id=np.arange(len(labels)) if groups is None else groups,
        ),
        CLASSES,
    )


def drawn(n, true_temperature, seed=0):
    """Draw logits, and labels with the probabilities of a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 3
    probability = softmax_with_temperature(logits, true_temperature, LOG_PRIOR)
    labels = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, labels


@pytest.mark.parametrize("of_model", [0.5, 1.5, 3.0])
def test_best_temperature_is_the_true_one_whatever_the_model_uses(of_model):
    logits, labels = drawn(4000, 1.5)
    found = check_temperature(rows(logits, labels, of_model), of_model, LOG_PRIOR)
    assert found.best.value == pytest.approx(1.5, rel=0.06)
    assert found.best.low < 1.5 < found.best.high
    assert found.log_loss_of_best <= found.log_loss_of_model


def test_intervals_contain_the_true_temperature_in_about_95_percent():
    hits = []
    for seed in range(200):
        logits, labels = drawn(150, 1.2, seed)
        best = check_temperature(rows(logits, labels, 1.0), 1.0, LOG_PRIOR).best
        hits.append(best.low <= 1.2 <= best.high)
    assert 0.91 <= np.mean(hits) <= 0.99


def test_groups_widen_the_interval():
    logits, labels = drawn(100, 1.2)
    repeated = rows(logits.repeat(4, axis=0), labels.repeat(4), 1.0, np.arange(100).repeat(4))
    single = rows(logits.repeat(4, axis=0), labels.repeat(4), 1.0)
    widths = []
    for arrays in (repeated, single):
        best = check_temperature(arrays, 1.0, LOG_PRIOR).best
        widths.append(best.high - best.low)
    assert widths[0] > 1.7 * widths[1]


def test_perfect_predictions_have_no_best_temperature():
    labels = np.array([0, 1, 2])
    found = check_temperature(rows(20 * np.eye(3), labels, 1.0), 1.0, LOG_PRIOR)
    assert found.best.value is None
    assert found.log_loss_of_best is None
