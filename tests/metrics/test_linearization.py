import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    recall_score,
    roc_auc_score,
)
from statsmodels.regression.linear_model import OLS

from skin_lesions.evaluation.scorecard.agreement import cohen_kappa, matthews_correlation
from skin_lesions.metrics.linearization import (
    LinearizedError,
    auroc_and_influence,
    average_precision_and_influence,
    confusion_counts,
    confusion_influence,
    linearized_error,
    macro_f1_influence,
    macro_recall_influence,
    mean_influence,
)

STEP = 1e-5


def derivative(statistic, n):
    """Return the change of a statistic of weights (n,), if the weight of each row grows."""
    ones = np.ones(n)
    unit = np.eye(n) * STEP
    return np.array([(statistic(ones + row) - statistic(ones - row)) / (2 * STEP) for row in unit])


@pytest.fixture(scope="module")
def rows():
    """Labels and predictions of 40 images; class 2 is absent but predicted, class 3 is not."""
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 3], 40, p=[0.6, 0.3, 0.1])
    return label, np.where(rng.random(40) < 0.6, label, rng.integers(0, 3, 40))


@pytest.mark.parametrize(
    ("influence_of", "reference"),
    [
        (lambda label, predicted: macro_recall_influence(label, label == predicted), recall_score),
        (macro_f1_influence, f1_score),
    ],
)
def test_influence_on_a_mean_over_the_present_classes_is_its_derivative(
    rows, influence_of, reference
):
    label, predicted = rows
    options = {"labels": [0, 1, 3], "average": "macro", "zero_division": 0}
    expected = derivative(lambda w: reference(label, predicted, sample_weight=w, **options), 40)
    assert influence_of(label, predicted) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("value_and_influence", "reference"),
    [
        (auroc_and_influence, roc_auc_score),
        (average_precision_and_influence, average_precision_score),
    ],
)
def test_statistic_of_scores_with_ties_and_its_influence_agree_with_scikit_learn(
    value_and_influence, reference
):
    rng = np.random.default_rng(1)
    positive = np.arange(50) < 12
    scores = rng.integers(0, 8, 50) + 2.0 * positive
    value, influence = value_and_influence(scores, positive)
    assert value == pytest.approx(reference(positive, scores))
    expected = derivative(lambda w: reference(positive, scores, sample_weight=w), 50)
    assert influence == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("statistic", "reference"),
    [(matthews_correlation, matthews_corrcoef), (cohen_kappa, cohen_kappa_score)],
)
def test_statistic_of_the_confusion_matrix_and_its_influence_agree_with_scikit_learn(
    rows, statistic, reference
):
    label, predicted = rows
    assert statistic(confusion_counts(label, predicted)) == pytest.approx(
        reference(label, predicted)
    )
    expected = derivative(lambda w: reference(label, predicted, sample_weight=w), 40)
    influence = confusion_influence(statistic, label, predicted)
    assert influence == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_auroc_without_positives_or_negatives_is_rejected(positive):
    with pytest.raises(ValueError, match="positive and negative rows"):
        auroc_and_influence(np.array([0.1, 0.2]), np.array(positive))


def test_error_of_a_mean_is_the_cluster_robust_error_of_statsmodels():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(30), rng.integers(1, 7, 30))
    values = rng.normal(size=30)[group] + rng.normal(size=group.size)
    error = linearized_error(mean_influence(values), group)
    model = OLS(values, np.ones(group.size)).fit(cov_type="cluster", cov_kwds={"groups": group})
    assert error.standard_error == pytest.approx(model.bse[0])
    assert error.unclustered == pytest.approx(stats.sem(values))
    assert error.design_effect == pytest.approx((model.bse[0] / stats.sem(values)) ** 2)


def test_images_of_one_group_count_together_whatever_their_labels():
    """All images of a group are right or wrong: the error is that of the groups."""
    rng = np.random.default_rng(3)
    right = np.repeat(rng.random(100) < 0.7, 4)
    label = np.tile([0, 1, 0, 1], 100)
    of_images = linearized_error(macro_recall_influence(label, right), np.arange(400))
    of_groups = linearized_error(macro_recall_influence(label, right), np.repeat(np.arange(100), 4))
    assert of_groups.standard_error / of_images.standard_error == pytest.approx(2.0, rel=0.02)


def test_one_dominating_group_leaves_few_degrees_of_freedom():
    equal = linearized_error(np.ones(100), np.arange(100) // 10)
    dominated = linearized_error(np.ones(100), np.maximum(0, np.arange(100) - 90))
    assert equal.degrees_of_freedom == pytest.approx(9)
    assert dominated.degrees_of_freedom == 1.0


def test_interval_on_each_scale_agrees_with_the_transformed_normal_interval():
    error = LinearizedError(standard_error=0.05, unclustered=0.05, degrees_of_freedom=20)
    t = stats.t.ppf(0.975, 20)
    assert error.interval(0.8) == pytest.approx((0.8 - 0.05 * t, 0.8 + 0.05 * t))
    log = np.log(0.8) + np.array([-t, t]) * 0.05 / 0.8
    assert error.interval(0.8, "log") == pytest.approx(np.exp(log))
    logit = np.log(0.8 / 0.2) + np.array([-t, t]) * 0.05 / 0.16
    assert error.interval(0.8, "logit") == pytest.approx(1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize(("value", "scale"), [(0.0, "log"), (0.0, "logit"), (1.0, "logit")])
def test_value_outside_of_the_scale_has_no_interval(value, scale):
    error = LinearizedError(standard_error=0.05, unclustered=0.05, degrees_of_freedom=20)
    assert error.interval(value, scale) is None


def test_no_variance_and_a_single_group_have_no_interval():
    assert linearized_error(np.zeros(5), np.arange(5)).interval(0.5) is None
    single = linearized_error([0.1, -0.1], [0, 0])
    assert single.interval(0.5) is None
    assert single.degrees_of_freedom == 1.0
