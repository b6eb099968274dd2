import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from skin_lesions.core.errors import InputError
from skin_lesions.data.diagnoses import malignant_classes
from skin_lesions.evaluation.malignancy import malignancy_subset
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.models.postprocessing.malignancy_thresholds import (
    MalignancyThreshold,
    MalignancyThresholds,
)
from skin_lesions.pipelines.evaluate.nodes import measure_malignancy
from support.factories import EVALUATE
from support.report_inputs import fourteen_classes, two_classes

CLASSES = ("Melanoma", "Basal cell carcinoma", "Melanocytic nevi", "Eczema")
THRESHOLDS = MalignancyThresholds(
    malignant_classes=("Melanoma", "Basal cell carcinoma"),
    excluded_classes=("Eczema",),
    malignant=40,
    benign=1_060,
    thresholds=(
        MalignancyThreshold(
            criterion="sensitivity", target=0.95, threshold=0.3, sensitivity=0.96, specificity=0.5
        ),
    ),
)


def predictions(n=400, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), label] += 1.5
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "group_id": [f"g{i // 2}" for i in range(n)],
            "label": np.array(CLASSES)[label],
            "predicted": np.array(CLASSES)[probability.argmax(axis=1)],
            **{f"p_{name}": probability[:, c] for c, name in enumerate(CLASSES)},
        }
    )


def subset(table, thresholds=THRESHOLDS, prevalences=(0.05,), end=0.5):
    return malignancy_subset(
        prediction_arrays(table, CLASSES),
        thresholds=thresholds,
        prevalences=prevalences,
        max_threshold_probability=end,
    )


def known(table):
    """Return score and label of the images that are not of an excluded class."""
    rows = table[table["label"] != "Eczema"]
    score = rows["p_Melanoma"] + rows["p_Basal cell carcinoma"]
    return score.to_numpy(), rows["label"].ne("Melanocytic nevi").to_numpy()


def test_results_at_a_threshold_agree_with_the_counts_of_scikit_learn():
    table = predictions()
    found = subset(table)
    score, label = known(table)
    tn, fp, fn, tp = confusion_matrix(label, score >= 0.3).ravel()
    [point] = found.operating_points
    assert point.sensitivity.value == pytest.approx(tp / (tp + fn))
    assert point.specificity.value == pytest.approx(tn / (tn + fp))
    a, b = tp / (tp + fn), fp / (tn + fp)
    [values] = point.predictive_values
    assert values.positive.value == pytest.approx(a * 0.05 / (a * 0.05 + b * 0.95))
    assert values.negative.value == pytest.approx(
        (1 - b) * 0.95 / ((1 - b) * 0.95 + (1 - a) * 0.05)
    )
    assert (found.malignant, found.benign) == (tp + fn, tn + fp)
    assert found.n == len(score) < len(table)
    assert found.auroc.value == pytest.approx(roc_auc_score(label, score))


def test_operating_point_states_what_it_was_chosen_for():
    [point] = subset(predictions()).operating_points
    assert point.chosen_for == (
        "sensitivity of at least 95 % on 40 malignant and 1,060 benign validation images"
    )
    assert (point.validation_sensitivity, point.validation_specificity) == (0.96, 0.5)


def test_decision_curve_agrees_with_the_formula_of_vickers_and_elkin():
    table = predictions()
    score, label = known(table)
    curve = subset(table, end=0.3).decision_curve
    assert [point.threshold_probability for point in curve] == pytest.approx(np.arange(1, 31) / 100)
    n = label.size
    for point in curve:
        odds = point.threshold_probability / (1 - point.threshold_probability)
        called = score >= point.threshold_probability
        model = (called & label).sum() / n - odds * (called & ~label).sum() / n
        treat_all = label.mean() - odds * (1 - label.mean())
        assert point.model.value == pytest.approx(model)
        assert point.treat_all.value == pytest.approx(treat_all)
        assert point.model_minus_treat_all.value == pytest.approx(model - treat_all)
        assert point.model.low < model < point.model.high


def test_images_of_one_kind_have_no_results_that_compare_two_kinds():
    table = predictions()
    benign = table[table["label"] == "Melanocytic nevi"]
    found = subset(benign)
    [point] = found.operating_points
    assert found.auroc.value is None
    assert found.partial_auroc.value is None
    assert point.sensitivity.reason == "no images of a malignant diagnosis"
    assert point.specificity.value is not None
    assert point.predictive_values[0].positive.value is None


def test_images_without_known_malignancy_give_no_results():
    table = predictions()
    found = subset(table[table["label"] == "Eczema"])
    assert (found.n, found.decision_curve) == (0, ())
    assert found.auroc.value is None


def test_node_uses_the_thresholds_of_the_model_file():
    study = fourteen_classes()
    found = measure_malignancy(study.predictions, study.model, EVALUATE)
    chosen = study.model.postprocessing.malignancy_thresholds.thresholds
    points = found.test.operating_points
    assert [point.threshold for point in points] == [entry.threshold for entry in chosen]
    assert len(points) == 2 * len(EVALUATE.operating_points)
    assert found.no_operating_points is None
    assert "test_clean" not in found.model_dump()


def test_node_separates_clean_and_leaked_images_of_the_original_split():
    study = fourteen_classes(policy="original")
    found = measure_malignancy(study.predictions, study.model, EVALUATE)
    assert found.test.n == found.test_clean.n + found.test_leaked.n
    assert found.test_leaked.n > 0


def test_thresholds_for_other_malignant_classes_are_not_used(caplog):
    study = fourteen_classes()
    changed = EVALUATE.model_copy(update={"malignant_classes": ("Melanoma",)})
    with caplog.at_level(logging.WARNING):
        found = measure_malignancy(study.predictions, study.model, changed)
    assert found.test.operating_points == ()
    assert "were chosen for other malignant classes (Basal cell" in found.no_operating_points
    assert "Fix: kedro run --pipelines train,evaluate,report" in caplog.text
    assert found.malignant_classes == ("Melanoma",)
    assert len(found.benign_classes) == 13


def test_given_malignant_classes_change_score_and_label():
    table = predictions()
    rows = prediction_arrays(table, CLASSES, ["Melanoma"])
    found = malignancy_subset(rows, thresholds=None, prevalences=(), max_threshold_probability=0.5)
    expected = roc_auc_score(table["label"] == "Melanoma", table["p_Melanoma"])
    assert found.auroc.value == pytest.approx(expected)
    assert found.n == len(table)


def test_unknown_malignant_class_stops_the_evaluation():
    study = two_classes()
    changed = EVALUATE.model_copy(update={"malignant_classes": ("Lymphoma",)})
    with pytest.raises(InputError, match=r"Lymphoma\. Expected some of: Benign, Melanoma"):
        measure_malignancy(study.predictions, study.model, changed)


def test_model_without_thresholds_has_a_reason():
    study = two_classes()  # the malignancy of its class "Benign" is not known
    found = measure_malignancy(study.predictions, study.model, EVALUATE)
    assert "validation images were not of malignant and of benign" in found.no_operating_points
    assert malignant_classes(study.labels, None).excluded == ("Benign",)
