import json
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from skin_lesions.data.diagnoses import DIAGNOSES
from skin_lesions.evaluation.scorecard import compute_metrics
from skin_lesions.metrics.bootstrap import resampled_weights
from skin_lesions.metrics.calibration import expected_calibration_error
from skin_lesions.metrics.classification import macro_metrics

MEL, NV, AK, DF = CLASSES = ["Melanoma", "Melanocytic nevi", "Actinic keratoses", "Dermatofibroma"]


def table(labels, probability, classes=CLASSES, groups=None):
    """Predictions of the likeliest class; each image its own group unless said otherwise."""
    probability = np.asarray(probability, dtype=float)
    n = len(labels)
    return pd.DataFrame(
        {
            "file": [f"{row}.jpg" for row in range(n)],
            "image_id": [f"id{row}" for row in range(n)],
            "group_id": [f"g{g}" for g in (range(n) if groups is None else groups)],
            "label": list(labels),
            "predicted": [classes[c] for c in probability.argmax(axis=1)],
            **{f"p_{name}": probability[:, c] for c, name in enumerate(classes)},
        }
    )


def simulated(n, classes=CLASSES, seed=0, signal=1.5, images_per_group=1):
    rng = np.random.default_rng(seed)
    k, groups = len(classes), np.arange(n) // images_per_group
    of_group = rng.integers(k, size=n)[groups]
    logits = rng.normal(size=(n, k))[groups] + 0.3 * rng.normal(size=(n, k))
    logits[np.arange(n), of_group] += signal
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return table([classes[c] for c in of_group], probability, classes, groups)


def certain(labels, predicted, groups=None):
    return table(labels, [np.eye(4)[CLASSES.index(name)] for name in predicted], groups=groups)


def judged(predictions, classes=CLASSES, replicates=50, seed=0):
    return compute_metrics(predictions, classes, replicates, seed)


def estimates(part):
    """Find every estimate in a part of metrics.json."""
    if isinstance(part, dict) and "value" in part:
        return [part]
    return [e for p in part.values() for e in estimates(p)] if isinstance(part, dict) else []


def test_every_number_agrees_with_scikit_learn():
    predictions = simulated(400)
    label, predicted = predictions["label"], predictions["predicted"]
    p = predictions[[f"p_{name}" for name in sorted(CLASSES)]].to_numpy()
    result = judged(predictions)
    expected = {
        "accuracy": accuracy_score(label, predicted),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "macro_f1": f1_score(label, predicted, average="macro"),
        "auroc_macro": roc_auc_score(label, p, multi_class="ovr", average="macro"),
        "log_loss": log_loss(label, p),
        "brier": brier_score_loss(label, p, scale_by_half=False),
        "expected_calibration_error": expected_calibration_error(p.max(axis=1), label == predicted),
    }
    assert {name: result[name]["value"] for name in expected} == pytest.approx(expected)
    assert result["confusion"]["classes"] == CLASSES
    assert (
        result["confusion"]["counts"] == confusion_matrix(label, predicted, labels=CLASSES).tolist()
    )
    for name in CLASSES:
        of_class = {
            m: e["value"] for m, e in result["per_class"][name].items() if isinstance(e, dict)
        }
        assert of_class == pytest.approx(
            {
                "recall": recall_score(label == name, predicted == name),
                "precision": precision_score(label == name, predicted == name),
                "f1": f1_score(label == name, predicted == name),
                "auroc": roc_auc_score(label == name, predictions[f"p_{name}"]),
            }
        )


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30
    )
)
def test_weighted_rates_agree_with_scikit_learn(rows):
    label, predicted, weights = map(np.array, zip(*rows, strict=True))
    weights[np.unique(label, return_index=True)[1]] += 1  # replicates never lose a class
    ours = macro_metrics(label, predicted, 4, weights[:, None].astype(np.int32))
    present = np.unique(label)
    macro_f1 = f1_score(
        label, predicted, labels=present, average="macro", sample_weight=weights, zero_division=0
    )
    recall = recall_score(label, predicted, labels=present, average="macro", sample_weight=weights)
    assert ours["macro_f1"] == pytest.approx([macro_f1])
    assert ours["balanced_accuracy"] == pytest.approx([recall])


def test_the_intervals_are_the_percentiles_of_replicates_judged_by_scikit_learn():
    predictions = simulated(600, images_per_group=3)
    label, predicted = predictions["label"], predictions["predicted"]
    (weights,) = resampled_weights(pd.factorize(label, sort=True)[0], _groups(predictions), 60, 9)
    result = judged(predictions, sorted(CLASSES), replicates=60, seed=9)
    f1 = [f1_score(label, predicted, average="macro", sample_weight=w) for w in weights.T]
    p = predictions[[f"p_{name}" for name in sorted(CLASSES)]].to_numpy()
    auroc = [
        roc_auc_score(label == MEL, predictions[f"p_{MEL}"], sample_weight=w) for w in weights.T
    ]
    loss = [log_loss(label, p, sample_weight=w) for w in weights.T]
    for entry, replicates in (
        (result["macro_f1"], f1),
        (result["per_class"][MEL]["auroc"], auroc),
        (result["log_loss"], loss),
    ):
        low, high = np.quantile(replicates, [0.025, 0.975])
        assert entry["low"] <= low + 1e-9
        assert entry["high"] >= high - 1e-9
    assert (result["log_loss"]["low"], result["log_loss"]["high"]) == pytest.approx((low, high))


def _groups(predictions):
    return pd.factorize(predictions["group_id"])[0]


def test_several_images_of_a_lesion_widen_every_interval():
    predictions = simulated(600, images_per_group=4)
    grouped = judged(predictions, replicates=300)
    plain = judged(predictions.assign(group_id=predictions["file"]), replicates=300)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "log_loss", "brier"):
        widths = [part[name]["high"] - part[name]["low"] for part in (grouped, plain)]
        assert 1.4 < widths[0] / widths[1] < 2.6, name
        assert grouped[name]["value"] == plain[name]["value"]
    assert grouped["accuracy"]["n_effective"] < 300 < plain["accuracy"]["n_effective"] == 600
    assert (grouped["groups"], plain["groups"], grouped["n"]) == (150, 600, 600)


rows = st.lists(
    st.tuples(
        st.integers(0, 3), st.lists(st.integers(0, 3), min_size=4, max_size=4), st.integers(0, 4)
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(rows)
@example(
    [(0, [0] * 4, 0), (1, [0] * 4, 0), (1, [0] * 4, 0), (1, [0] * 4, 1)]
)  # calibration error 0
def test_whatever_the_rows_each_value_lies_in_its_interval_or_has_a_reason(drawn):
    labels, scores, groups = zip(*drawn, strict=True)
    p = np.array(scores) + 0.001  # few values, so that classes tie
    result = judged(
        table([CLASSES[c] for c in labels], p / p.sum(axis=1, keepdims=True), groups=groups),
        replicates=8,
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for entry in estimates(result):
        if entry["value"] is None or entry["low"] is None:
            assert entry["reason"]
        else:
            assert entry["low"] <= entry["value"] <= entry["high"]
            assert entry["low"] < entry["high"]
            assert "reason" not in entry


def test_a_class_without_images_is_null_with_a_reason_and_in_no_mean():
    predictions = certain([MEL, MEL, NV, NV], [MEL, NV, NV, DF])
    result = judged(predictions)
    absent = result["per_class"][DF]
    assert (absent["support"], absent["correct"]) == (0, 0)
    assert all(absent[m]["value"] is None for m in ("recall", "f1", "auroc"))
    assert absent["recall"]["reason"] == "no images of this class"
    assert absent["precision"]["value"] == 0.0
    assert result["balanced_accuracy"]["value"] == 0.5
    assert result["macro_f1"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["auroc_macro"]["value"] == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_a_class_that_was_never_predicted_has_no_precision_and_a_recall_of_0():
    entry = judged(certain([MEL, NV], [NV, NV]))["per_class"][MEL]
    assert entry["precision"]["value"] is None
    assert entry["precision"]["reason"] == "no image was predicted as this class"
    assert (entry["recall"]["value"], entry["f1"]["value"]) == (0.0, 0.0)
    assert entry["recall"]["high"] > 0.5


def test_all_right_is_1_and_the_interval_says_how_little_that_proves():
    few, many = (judged(certain([MEL, NV] * n, [MEL, NV] * n)) for n in (5, 500))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro"):
        assert few[name]["value"] == few[name]["high"] == 1.0
        assert few[name]["low"] < 0.9 < 0.98 < many[name]["low"] < 1.0, name


def test_all_wrong_is_0_and_log_loss_stays_finite():
    result = judged(certain([MEL, NV] * 5, [NV, MEL] * 5))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro"):
        assert result[name]["value"] == result[name]["low"] == 0.0
        assert 0.1 < result[name]["high"] < 0.6
    assert result["log_loss"]["value"] == pytest.approx(-np.log(np.finfo(float).eps))
    assert result["brier"]["value"] == 2.0


def test_one_row_is_judged_and_what_it_cannot_tell_is_null():
    result = judged(table([MEL], [[0.7, 0.1, 0.1, 0.1]]))
    assert (result["n"], result["groups"], result["accuracy"]["value"]) == (1, 1, 1.0)
    assert result["accuracy"]["low"] == pytest.approx(0.2065, abs=1e-4)
    assert result["auroc_macro"]["value"] is None
    assert result["auroc_macro"]["reason"] == "all images are of one class"
    assert result["log_loss"]["value"] == pytest.approx(-np.log(0.7))
    assert result["log_loss"]["low"] is None
    assert "too few groups" in result["log_loss"]["reason"]


def test_the_predicted_class_counts_even_where_it_is_not_the_likeliest():
    predictions = table([MEL, NV], [[0.4, 0.6, 0, 0], [0.1, 0.9, 0, 0]]).assign(predicted=[MEL, NV])
    result = judged(predictions)
    assert result["accuracy"]["value"] == 1.0
    assert result["expected_calibration_error"]["value"] == pytest.approx(1 - (0.4 + 0.9) / 2)


# Malignant against benign


def test_malignant_is_judged_across_classes_and_premalignant_is_benign():
    classes = ["melanoma", "Basal cell carcinoma", "nevus", "Actinic keratosis"]
    labels = ["melanoma", "melanoma", "Basal cell carcinoma", "nevus", "Actinic keratosis"]
    p = [
        [0.5, 0.3, 0.2, 0],
        [0.2, 0.5, 0.3, 0],
        [0.1, 0.2, 0.7, 0],
        [0, 0.1, 0.9, 0],
        [0.4, 0, 0.2, 0.4],
    ]
    predictions = table(labels, p, classes)
    result = judged(predictions, classes)["malignant"]
    assert result["classes"] == ["melanoma", "Basal cell carcinoma"]
    assert result["excluded_classes"] == []
    assert result["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert result["sensitivity"]["n"] == 3
    assert result["specificity"]["value"] == pytest.approx(1 / 2)
    malignant = [True, True, True, False, False]
    expected = roc_auc_score(malignant, np.array(p)[:, :2].sum(axis=1))
    assert result["auroc"]["value"] == pytest.approx(expected)


def test_images_of_unknown_diagnoses_are_left_out_and_named():
    classes = [MEL, NV, "scarab bite"]
    labels = [MEL, NV, "scarab bite", "scarab bite"]
    predictions = table(labels, np.eye(3)[[0, 1, 0, 2]], classes)
    result = judged(predictions, classes)["malignant"]
    assert result["excluded_classes"] == ["scarab bite"]
    assert (result["sensitivity"]["value"], result["specificity"]["value"]) == (1.0, 1.0)
    assert result["auroc"]["n"] == 2


def test_where_images_of_unknown_diagnoses_stand_moves_nothing():
    rng = np.random.default_rng(3)
    classes = [MEL, NV, "scarab bite"]
    labels = np.repeat(classes, [40, 60, 100])
    # Melanomas far above or far below the nevi: the bootstrap decides, not Hanley and McNeil.
    p = np.where(labels == MEL, rng.choice([0.1, 0.8], size=200), rng.uniform(0.4, 0.6, size=200))
    groups = np.concatenate([np.arange(100) // 2, np.arange(100, 200)])
    last = table(labels, np.column_stack([p, 1 - p, 0 * p]), classes, groups)
    first = pd.concat([last.tail(100), last.head(100)])
    results = [judged(t, classes)["malignant"] for t in (first, last)]
    assert results[0] == results[1]
    without = judged(last.head(100), classes)["malignant"]
    assert results[0]["sensitivity"] == without["sensitivity"]


@pytest.mark.parametrize(
    ("labels", "lacking"), [([NV, AK], "sensitivity"), ([MEL, MEL], "specificity")]
)
def test_without_either_kind_its_rate_is_null_with_a_reason(labels, lacking):
    result = judged(certain(labels, labels))["malignant"]
    assert result[lacking]["value"] is None
    assert "no images" in result[lacking]["reason"]
    assert result["auroc"]["value"] is None
    assert "malignant and of benign" in result["auroc"]["reason"]


# The run


def test_equal_seeds_give_equal_results_and_other_seeds_other_intervals():
    predictions = simulated(120)
    first, again, other = (judged(predictions, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["brier"]["value"] == other["brier"]["value"]
    assert first["brier"]["low"] != other["brier"]["low"]


def test_the_order_of_the_classes_moves_no_value():
    predictions = simulated(120)
    one, other = judged(predictions), judged(predictions, CLASSES[::-1])
    for name in ("accuracy", "macro_f1", "auroc_macro", "brier", "log_loss"):
        assert one[name]["value"] == pytest.approx(other[name]["value"])
    assert list(other["per_class"]) == CLASSES[::-1]


def test_four_thousand_images_of_14_classes_take_seconds():
    classes = [diagnosis.name for diagnosis in DIAGNOSES]
    predictions = simulated(4000, classes, images_per_group=2)
    start = time.process_time()
    judged(predictions, classes, replicates=1000)
    assert time.process_time() - start < 10


def test_equal_probabilities_stored_in_32_bits_are_still_probabilities():
    predictions = simulated(50).astype({f"p_{name}": np.float32 for name in CLASSES})
    assert judged(predictions)["brier"]["value"] == pytest.approx(
        judged(simulated(50))["brier"]["value"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.head(0), "no images"),
        (
            lambda t: t.drop(columns=[f"p_{NV}", "group_id"]),
            r"\['group_id', 'p_Melanocytic nevi'\]",
        ),
        (lambda t: t.assign(split=["val", "test"] * 5), r"\['test', 'val'\]"),
        (lambda t: t.assign(label="wart"), r"'label' holds \['wart'\]"),
        (lambda t: t.assign(predicted="wart"), r"'predicted' holds \['wart'\]"),
        (lambda t: t.assign(group_id=[None, *t["group_id"][1:]]), "1 predictions have no group_id"),
        (lambda t: t.assign(**{f"p_{NV}": np.nan}), "10 rows hold no probabilities"),
        (lambda t: t.assign(**{f"p_{NV}": 2.0}), "sum to 1, the first is row 0"),
        (lambda t: t.assign(**{f"p_{MEL}": -0.5}), "10 rows hold no probabilities"),
    ],
)
def test_predictions_that_cannot_be_judged_are_refused_with_a_reason(change, message):
    with pytest.raises(ValueError, match=message):
        judged(change(simulated(10)))
