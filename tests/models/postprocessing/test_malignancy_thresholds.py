import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from skin_lesions.data.diagnoses import malignant_classes
from skin_lesions.models.postprocessing.malignancy_thresholds import (
    fit_malignancy_thresholds,
    malignancy_score,
)

CLASSES = ["Melanoma", "Melanocytic nevi"]


def fit(scores, malignant, *targets):
    """Choose thresholds of a model of two classes, for these scores of melanoma."""
    scores = np.asarray(scores, float)
    probabilities = np.column_stack([scores, 1 - scores])
    labels = np.where(malignant, 0, 1)
    return fit_malignancy_thresholds(
        probabilities, labels, malignant_classes(CLASSES, None), targets or (0.9,)
    )


def rows(seed, n=200):
    rng = np.random.default_rng(seed)
    malignant = rng.random(n) < 0.3
    return np.round(rng.beta(np.where(malignant, 4, 1.5), 3), 2), malignant


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("target", [0.5, 0.9, 0.95])
def test_thresholds_are_the_best_that_reach_their_target(seed, target):
    """Compared with all operating points of the ROC curve of scikit-learn."""
    scores, malignant = rows(seed)
    false_positive_rate, sensitivity, _ = roc_curve(malignant, scores, drop_intermediate=False)
    of_sensitivity, of_specificity = fit(scores, malignant, target).thresholds
    assert of_sensitivity.sensitivity >= target
    assert of_sensitivity.specificity == pytest.approx(
        (1 - false_positive_rate[sensitivity >= target]).max()
    )
    assert of_specificity.specificity >= target
    assert of_specificity.sensitivity == pytest.approx(
        sensitivity[1 - false_positive_rate >= target].max()
    )


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans()), min_size=1),
    st.floats(0.01, 0.99),
)
def test_every_threshold_reaches_its_target_with_tied_scores(images, target):
    scores, malignant = map(np.array, zip(*images, strict=True))
    chosen = fit(scores, malignant, target)
    if malignant.all() or not malignant.any():
        assert chosen is None
        return
    for threshold in chosen.thresholds:
        assert getattr(threshold, threshold.criterion) >= target - 1e-9
        called = scores >= threshold.threshold
        assert threshold.sensitivity == called[malignant].mean()
        assert threshold.specificity == (~called[~malignant]).mean()


def test_threshold_is_halfway_between_neighboring_scores():
    scores, malignant = [0.1, 0.3, 0.6, 0.8], [False, False, True, True]
    chosen = fit(scores, malignant, 0.95)
    assert [entry.threshold for entry in chosen.thresholds] == pytest.approx([0.45, 0.45])


def test_numbers_of_images_and_classes_are_recorded():
    chosen = fit([0.1, 0.3, 0.8], [False, False, True])
    assert (chosen.malignant, chosen.benign) == (1, 2)
    assert (chosen.malignant_classes, chosen.excluded_classes) == (("Melanoma",), ())


def test_images_of_classes_with_unknown_malignancy_are_left_out():
    classes = malignant_classes(["Melanoma", "Melanocytic nevi", "Eczema"], None)
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.9, 0.0, 0.1]])
    chosen = fit_malignancy_thresholds(probabilities, np.array([0, 1, 2]), classes, [0.9])
    assert (chosen.malignant, chosen.benign) == (1, 1)
    assert chosen.excluded_classes == ("Eczema",)
    assert all(entry.specificity == 1 for entry in chosen.thresholds)


def test_few_validation_images_are_reported(caplog):
    fit([0.2, 0.7, 0.9], [False, True, True], 0.9)
    assert "2 malignant validation images determine the sensitivity threshold for 90 %" in (
        caplog.text
    )


def test_score_is_the_summed_probability_of_the_malignant_classes():
    classes = malignant_classes(["BCC", "MEL", "NV"], None)
    assert malignancy_score(np.array([[0.2, 0.3, 0.5]]), classes) == pytest.approx([0.5])
