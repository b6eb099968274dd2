import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from skin_lesions.evaluation.scorecard import compute_metrics
from skin_lesions.metrics.calibration import confidence_bins, expected_calibration_error
from skin_lesions.metrics.classification import macro_metrics
from skin_lesions.metrics.intervals import (
    Estimate,
    effective_n,
    f1_estimate,
    hanley_mcneil,
    mover_interval,
    proportion,
)

MEL, NV, AK, DF = CLASSES = ["Melanoma", "Melanocytic nevi", "Actinic keratoses", "Dermatofibroma"]


def prediction_table(labels, probability, classes=CLASSES, groups=None):
    """Make predictions of the most probable class; by default each image is its own group."""
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


def simulate_predictions(n, classes=CLASSES, seed=0, signal=1.5, images_per_group=1):
    rng = np.random.default_rng(seed)
    k, groups = len(classes), np.arange(n) // images_per_group
    group_class = rng.integers(k, size=n)[groups]
    logits = rng.normal(size=(n, k))[groups] + 0.3 * rng.normal(size=(n, k))
    logits[np.arange(n), group_class] += signal
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return prediction_table([classes[c] for c in group_class], probability, classes, groups)


def certain_predictions(labels, predicted, groups=None):
    return prediction_table(
        labels, [np.eye(4)[CLASSES.index(name)] for name in predicted], groups=groups
    )


def metrics_of(predictions, classes=CLASSES, seed=0):
    """Return the metrics as in ``metrics.json``."""
    return compute_metrics(predictions, classes, seed).model_dump(mode="json")


def find_estimates(entry):
    """Find every estimate in an entry of metrics.json."""
    if isinstance(entry, dict) and "value" in entry:
        return [entry]
    return [e for v in entry.values() for e in find_estimates(v)] if isinstance(entry, dict) else []


def test_metrics_agree_with_scikit_learn():
    predictions = simulate_predictions(400)
    label, predicted = predictions["label"], predictions["predicted"]
    p = predictions[[f"p_{name}" for name in sorted(CLASSES)]].to_numpy()
    result = metrics_of(predictions)
    expected = {
        "accuracy": accuracy_score(label, predicted),
        "balanced_accuracy": balanced_accuracy_score(label, predicted),
        "macro_f1": f1_score(label, predicted, average="macro"),
        "auroc_macro": roc_auc_score(label, p, multi_class="ovr", average="macro"),
        "average_precision_macro": np.mean(
            [average_precision_score(label == name, predictions[f"p_{name}"]) for name in CLASSES]
        ),
        "top2_accuracy": top_k_accuracy_score(label, p, k=2, labels=sorted(CLASSES)),
        "matthews_correlation": matthews_corrcoef(label, predicted),
        "cohen_kappa": cohen_kappa_score(label, predicted),
        "log_loss": log_loss(label, p),
        "brier": brier_score_loss(label, p, scale_by_half=False),
        "expected_calibration_error": expected_calibration_error(p.max(axis=1), label == predicted),
        "classwise_calibration_error": np.mean(
            [slow_calibration_error(predictions[f"p_{name}"], label == name) for name in CLASSES]
        ),
    }
    assert {name: result[name]["value"] for name in expected} == pytest.approx(expected)
    assert result["confusion"]["classes"] == CLASSES
    assert (
        result["confusion"]["counts"] == confusion_matrix(label, predicted, labels=CLASSES).tolist()
    )
    for name in CLASSES:
        class_metrics = {
            m: e["value"] for m, e in result["per_class"][name].items() if isinstance(e, dict)
        }
        assert class_metrics == pytest.approx(
            {
                "recall": recall_score(label == name, predicted == name),
                "precision": precision_score(label == name, predicted == name),
                "f1": f1_score(label == name, predicted == name),
                "auroc": roc_auc_score(label == name, predictions[f"p_{name}"]),
                "average_precision": average_precision_score(
                    label == name, predictions[f"p_{name}"]
                ),
                "calibration_error": slow_calibration_error(
                    predictions[f"p_{name}"], label == name
                ),
            }
        )


def slow_calibration_error(probability, is_class):
    """Sort the images into 15 bins of about equal size, one image at a time."""
    edges = [np.quantile(probability, i / 15) for i in range(1, 15)]
    bins = [sum(edge <= p for edge in edges) for p in probability]
    table = pd.DataFrame({"bin": bins, "p": probability, "y": is_class.astype(float)})
    gaps = [abs(b["p"].mean() - b["y"].mean()) * len(b) for _, b in table.groupby("bin")]
    return sum(gaps) / len(table)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30
    )
)
def test_weighted_metrics_agree_with_scikit_learn(rows):
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


def test_several_images_of_a_lesion_widen_every_interval():
    predictions = simulate_predictions(600, images_per_group=4)
    grouped = metrics_of(predictions)
    plain = metrics_of(predictions.assign(group_id=predictions["file"]))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "log_loss", "brier"):
        widths = [result[name]["high"] - result[name]["low"] for result in (grouped, plain)]
        assert 1.4 < widths[0] / widths[1] < 2.6, name
        assert grouped[name]["value"] == plain[name]["value"]
    assert grouped["accuracy"]["n_effective"] < 300 < plain["accuracy"]["n_effective"] == 600
    assert (grouped["groups"], plain["groups"], grouped["n"]) == (150, 600, 600)


@pytest.fixture(scope="module")
def mixed_groups():
    """Predictions with groups of 1 to 6 images, which have several labels and predictions."""
    rng = np.random.default_rng(11)
    group = np.repeat(np.arange(60), rng.integers(1, 7, 60))
    n = group.size
    label = np.where(rng.random(n) < 0.7, rng.integers(4, size=60)[group], rng.integers(4, size=n))
    logits = rng.normal(size=(60, 4))[group] + 0.4 * rng.normal(size=(n, 4))
    logits[np.arange(n), label] += 1.2
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return prediction_table([CLASSES[c] for c in label], probability, groups=group)


def as_dict(estimate):
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_effective": estimate.n_effective,
    }


@pytest.mark.parametrize("name", CLASSES)
def test_intervals_of_a_class_use_the_groups_of_its_own_images(mixed_groups, name):
    entry = metrics_of(mixed_groups)["per_class"][name]
    group = mixed_groups["group_id"].to_numpy()
    is_class = (mixed_groups["label"] == name).to_numpy()
    predicted = (mixed_groups["predicted"] == name).to_numpy()
    expected = {
        "recall": proportion(predicted[is_class], group[is_class]),
        "precision": proportion(is_class[predicted], group[predicted]),
        "f1": f1_estimate(is_class, predicted, group),
    }
    for metric, estimate in expected.items():
        assert entry[metric] == pytest.approx(as_dict(estimate)), metric
        assert estimate.n_effective < estimate.n


def test_accuracy_sensitivity_and_specificity_use_the_groups_of_their_own_images(mixed_groups):
    result = metrics_of(mixed_groups)
    group = mixed_groups["group_id"].to_numpy()
    malignant = (mixed_groups["label"] == MEL).to_numpy()
    predicted = (mixed_groups["predicted"] == MEL).to_numpy()
    correct = (mixed_groups["label"] == mixed_groups["predicted"]).to_numpy()
    assert result["accuracy"] == pytest.approx(as_dict(proportion(correct, group)))
    sensitivity = proportion(predicted[malignant], group[malignant])
    assert result["malignant"]["sensitivity"] == pytest.approx(as_dict(sensitivity))
    specificity = proportion(~predicted[~malignant], group[~malignant])
    assert result["malignant"]["specificity"] == pytest.approx(as_dict(specificity))


@pytest.mark.parametrize("malignant", [False, True])
def test_interval_of_a_perfect_auroc_uses_the_groups(malignant):
    # All images are ranked correctly, so linearization shows no variance.
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    labels = np.where(group % 3 == 0, MEL, NV)
    # Within a group, some predictions are right and some are wrong.
    is_wrong = (group % 5 < 3) & (np.arange(group.size) % 2 == 0)
    right = {MEL: [0.6, 0.3, 0.1, 0], NV: [0.3, 0.6, 0.1, 0]}
    wrong = {MEL: [0.45, 0.5, 0.05, 0], NV: [0.4, 0.35, 0.25, 0]}
    p = [(wrong if w else right)[label] for label, w in zip(labels, is_wrong, strict=True)]
    predictions = prediction_table(labels, p, groups=group)
    result = metrics_of(predictions)
    entry = result["malignant"]["auroc"] if malignant else result["per_class"][MEL]["auroc"]
    positive, predicted = labels == MEL, (predictions["predicted"] == MEL).to_numpy()
    positives = effective_n(predicted[positive], group[positive])
    negatives = effective_n(predicted[~positive], group[~positive])
    assert positives < positive.sum()
    assert negatives < (~positive).sum()
    assert entry["value"] == 1.0
    expected = hanley_mcneil(1.0, positives, negatives)
    assert (entry["low"], entry["high"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "class_metric"), [("balanced_accuracy", "recall"), ("macro_f1", "f1")]
)
def test_mean_over_classes_contains_the_interval_that_its_classes_give(key, class_metric):
    # One group per class, so that few groups are not sufficient to see a variance.
    labels = [MEL] * 5 + [NV] * 9 + [AK] * 3
    predicted = [*[MEL] * 3, *[NV] * 2, *[NV] * 8, MEL, *[AK] * 2, NV]
    result = metrics_of(certain_predictions(labels, predicted, groups=[0] * 5 + [1] * 9 + [2] * 3))
    entries = [result["per_class"][name][class_metric] for name in (MEL, NV, AK)]
    low, high = mover_interval([Estimate(**entry) for entry in entries])
    assert result[key]["low"] <= low
    assert result[key]["high"] >= high


def test_balanced_accuracy_of_small_classes_uses_recalls_shrunken_towards_their_mean():
    # Two classes have one image, which shows no variance. One is right and one is wrong.
    labels = [MEL, AK, *[NV] * 40]
    predicted = [NV, AK, *[NV] * 20, *[MEL] * 20]
    entry = metrics_of(certain_predictions(labels, predicted))["balanced_accuracy"]
    n, recalls = np.array([1, 1, 40]), np.array([0, 1, 0.5])
    shrunken = (n * recalls + 2 * 0.5) / (n + 2)
    half = stats.t.ppf(0.975, 41) * np.sqrt((shrunken * (1 - shrunken) / n).sum()) / 3
    assert (entry["low"], entry["high"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_perfect_ranking_has_the_interval_that_its_classes_give():
    labels = [MEL] * 3 + [NV] * 9
    result = metrics_of(certain_predictions(labels, labels))
    entries = [result["per_class"][name]["auroc"] for name in (MEL, NV)]
    expected = mover_interval([Estimate(**entry) for entry in entries])
    assert (result["auroc_macro"]["low"], result["auroc_macro"]["high"]) == pytest.approx(expected)


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
def test_each_value_is_inside_its_interval_or_has_a_reason(drawn):
    labels, scores, groups = zip(*drawn, strict=True)
    p = np.array(scores) + 0.001  # few values, so that there are ties
    result = metrics_of(
        prediction_table(
            [CLASSES[c] for c in labels], p / p.sum(axis=1, keepdims=True), groups=groups
        )
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for entry in find_estimates(result):
        if entry["value"] is None or entry["low"] is None:
            assert entry["reason"]
        else:
            assert entry["low"] <= entry["value"] <= entry["high"]
            assert entry["low"] < entry["high"]
            assert "reason" not in entry


def test_class_without_images_is_null_with_a_reason_and_in_no_mean():
    predictions = certain_predictions([MEL, MEL, NV, NV], [MEL, NV, NV, DF])
    result = metrics_of(predictions)
    absent = result["per_class"][DF]
    assert (absent["support"], absent["correct"]) == (0, 0)
    assert all(absent[m]["value"] is None for m in ("recall", "f1", "auroc"))
    assert absent["recall"]["reason"] == "no images of this class"
    assert absent["precision"]["value"] == 0.0
    assert result["balanced_accuracy"]["value"] == 0.5
    assert result["macro_f1"]["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result["auroc_macro"]["value"] == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_class_that_was_never_predicted_has_no_precision_and_a_recall_of_0():
    entry = metrics_of(certain_predictions([MEL, NV], [NV, NV]))["per_class"][MEL]
    assert entry["precision"]["value"] is None
    assert entry["precision"]["reason"] == "no image was predicted as this class"
    assert (entry["recall"]["value"], entry["f1"]["value"]) == (0.0, 0.0)
    assert entry["recall"]["high"] > 0.5


def test_all_right_is_1_with_an_interval_that_depends_on_the_number_of_images():
    few, many = (metrics_of(certain_predictions([MEL, NV] * n, [MEL, NV] * n)) for n in (5, 500))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro"):
        assert few[name]["value"] == few[name]["high"] == 1.0
        assert few[name]["low"] < 0.9 < 0.98 < many[name]["low"] < 1.0, name


@pytest.mark.parametrize(("n", "has_interval"), [(29, False), (30, True)])
def test_average_precision_of_few_images_has_no_interval(n, has_interval):
    predictions = simulate_predictions(400).iloc[:300]
    rare = predictions[predictions["label"] == DF].head(n)
    result = metrics_of(pd.concat([predictions[predictions["label"] != DF], rare]))
    for entry in (result["average_precision_macro"], result["per_class"][DF]["average_precision"]):
        assert (entry["low"] is not None) == has_interval
        assert has_interval or "fewer than 30 images" in entry["reason"]


def test_all_wrong_is_0_and_log_loss_stays_finite():
    result = metrics_of(certain_predictions([MEL, NV] * 5, [NV, MEL] * 5))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro"):
        assert result[name]["value"] == result[name]["low"] == 0.0
        assert 0.1 < result[name]["high"] < 0.6
    assert result["log_loss"]["value"] == pytest.approx(-np.log(np.finfo(float).eps))
    assert result["brier"]["value"] == 2.0


def test_metrics_of_one_row_are_null_where_undefined():
    result = metrics_of(prediction_table([MEL], [[0.7, 0.1, 0.1, 0.1]]))
    assert (result["n"], result["groups"], result["accuracy"]["value"]) == (1, 1, 1.0)
    assert result["accuracy"]["low"] == pytest.approx(0.2065, abs=1e-4)
    assert result["auroc_macro"]["value"] is None
    assert result["auroc_macro"]["reason"] == "all images are of one class"
    assert result["log_loss"]["value"] == pytest.approx(-np.log(0.7))
    assert result["log_loss"]["low"] is None
    assert "no variance" in result["log_loss"]["reason"]


def test_predicted_class_counts_even_if_it_is_not_the_most_probable():
    predictions = prediction_table([MEL, NV], [[0.4, 0.6, 0, 0], [0.1, 0.9, 0, 0]]).assign(
        predicted=[MEL, NV]
    )
    result = metrics_of(predictions)
    assert result["accuracy"]["value"] == 1.0
    assert result["expected_calibration_error"]["value"] == pytest.approx(1 - (0.4 + 0.9) / 2)


def test_calibration_bins_are_those_of_the_probability_of_the_predicted_class():
    # Half of the predictions are not the most probable class.
    rng = np.random.default_rng(5)
    p = rng.uniform(0.05, 0.95, 400)
    predicted_first = rng.random(400) < 0.5
    labels = np.where(rng.random(400) < 0.5 + 0.4 * np.sin(9 * p), MEL, NV)
    predictions = prediction_table(labels, np.column_stack([p, 1 - p, 0 * p, 0 * p]))
    predictions = predictions.assign(predicted=np.where(predicted_first, MEL, NV))
    confidence = np.where(predicted_first, p, 1 - p)
    correct = (predictions["predicted"] == labels).to_numpy()
    bins = confidence_bins(confidence)
    gaps = [abs(correct[bins == b].mean() - confidence[bins == b].mean()) for b in range(15)]
    expected = np.average(gaps, weights=np.bincount(bins))
    value = metrics_of(predictions)["expected_calibration_error"]["value"]
    assert value == pytest.approx(expected)


def test_calibrated_predictions_have_about_the_error_by_chance_and_no_overconfidence():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(4), 800)
    labels = [CLASSES[rng.choice(4, p=row)] for row in p]
    result = metrics_of(prediction_table(labels, p))
    by_chance = result["calibration"]["error_by_chance"]
    assert by_chance["low"] <= result["expected_calibration_error"]["value"] <= by_chance["high"]
    assert by_chance["low"] > 0
    overconfidence = result["calibration"]["overconfidence"]
    assert overconfidence["low"] < 0 < overconfidence["high"]


def test_overconfident_predictions_exceed_the_error_by_chance():
    p = np.tile([0.9, 0.1, 0, 0], (200, 1))
    result = metrics_of(prediction_table([MEL, NV] * 100, p))
    assert result["expected_calibration_error"]["value"] == pytest.approx(0.4)
    assert result["calibration"]["error_by_chance"]["high"] < 0.1
    overconfidence = result["calibration"]["overconfidence"]
    assert overconfidence["value"] == pytest.approx(0.4)
    # Mean of 200 independent values 0.9 and -0.1: standard error 0.5 / sqrt(199).
    half = stats.t.ppf(0.975, 199) * 0.5 / np.sqrt(199)
    assert overconfidence["high"] - 0.4 == pytest.approx(half)


def test_images_that_are_right_together_increase_the_error_by_chance():
    p = np.tile([0.7, 0.3, 0, 0], (200, 1))
    labels = np.repeat([MEL] * 7 + [NV] * 3, 20)
    single, grouped = (
        metrics_of(prediction_table(labels, p, groups=groups))["calibration"]["error_by_chance"]
        for groups in (range(200), np.arange(200) // 20)
    )
    # All images of a group agree: as much noise as with 10 instead of 200 images.
    assert grouped["median"] / single["median"] == pytest.approx(np.sqrt(20), rel=0.25)


# Malignant against benign


def test_malignant_metrics_span_classes_and_premalignant_is_benign():
    classes = ["melanoma", "Basal cell carcinoma", "nevus", "Actinic keratosis"]
    labels = ["melanoma", "melanoma", "Basal cell carcinoma", "nevus", "Actinic keratosis"]
    p = [
        [0.5, 0.3, 0.2, 0],
        [0.2, 0.5, 0.3, 0],
        [0.1, 0.2, 0.7, 0],
        [0, 0.1, 0.9, 0],
        [0.4, 0, 0.2, 0.4],
    ]
    predictions = prediction_table(labels, p, classes)
    result = metrics_of(predictions, classes)["malignant"]
    assert result["classes"] == ["melanoma", "Basal cell carcinoma"]
    assert result["excluded_classes"] == []
    assert result["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert result["sensitivity"]["n"] == 3
    assert result["specificity"]["value"] == pytest.approx(1 / 2)
    malignant = [True, True, True, False, False]
    expected = roc_auc_score(malignant, np.array(p)[:, :2].sum(axis=1))
    assert result["auroc"]["value"] == pytest.approx(expected)


def test_malignancy_score_is_the_sum_of_the_malignant_classes():
    classes = [MEL, "Basal cell carcinoma", NV]
    # By the sum (0.6, 0.5) the first image is more malignant, by the maximum (0.3, 0.5) the second.
    predictions = prediction_table([MEL, NV], [[0.3, 0.3, 0.4], [0.5, 0.0, 0.5]], classes)
    assert metrics_of(predictions, classes)["malignant"]["auroc"]["value"] == 1.0


def test_images_of_unknown_diagnoses_are_left_out_and_listed():
    classes = [MEL, NV, "scarab bite"]
    labels = [MEL, NV, "scarab bite", "scarab bite"]
    predictions = prediction_table(labels, np.eye(3)[[0, 1, 0, 2]], classes)
    result = metrics_of(predictions, classes)["malignant"]
    assert result["excluded_classes"] == ["scarab bite"]
    assert (result["sensitivity"]["value"], result["specificity"]["value"]) == (1.0, 1.0)
    assert result["auroc"]["n"] == 2


def test_position_of_images_of_unknown_diagnoses_changes_nothing():
    rng = np.random.default_rng(3)
    classes = [MEL, NV, "scarab bite"]
    labels = np.repeat(classes, [40, 60, 100])
    # Melanomas far above or far below the nevi: the bootstrap decides, not Hanley and McNeil.
    p = np.where(labels == MEL, rng.choice([0.1, 0.8], size=200), rng.uniform(0.4, 0.6, size=200))
    groups = np.concatenate([np.arange(100) // 2, np.arange(100, 200)])
    last = prediction_table(labels, np.column_stack([p, 1 - p, 0 * p]), classes, groups)
    first = pd.concat([last.tail(100), last.head(100)])
    results = [metrics_of(t, classes)["malignant"] for t in (first, last)]
    assert results[0] == results[1]
    without = metrics_of(last.head(100), classes)["malignant"]
    assert results[0]["sensitivity"] == without["sensitivity"]


@pytest.mark.parametrize(
    ("labels", "undefined"), [([NV, AK], "sensitivity"), ([MEL, MEL], "specificity")]
)
def test_rate_is_null_with_a_reason_without_malignant_or_benign_images(labels, undefined):
    result = metrics_of(certain_predictions(labels, labels))["malignant"]
    assert result[undefined]["value"] is None
    assert "no images" in result[undefined]["reason"]
    assert result["auroc"]["value"] is None
    assert "malignant and of benign" in result["auroc"]["reason"]


# Seeds and order


def test_the_seed_changes_only_the_simulated_calibration_error():
    predictions = simulate_predictions(120)
    first, again, other = (metrics_of(predictions, seed=seed) for seed in (1, 1, 2))
    assert first == again
    by_chance = [r.pop("calibration")["error_by_chance"]["median"] for r in (first, other)]
    assert by_chance[0] != by_chance[1]
    assert first == other


def test_order_of_the_classes_changes_no_value():
    predictions = simulate_predictions(120)
    one, other = metrics_of(predictions), metrics_of(predictions, CLASSES[::-1])
    for name in ("accuracy", "macro_f1", "auroc_macro", "brier", "log_loss"):
        assert one[name]["value"] == pytest.approx(other[name]["value"])
    assert list(other["per_class"]) == CLASSES[::-1]


def test_probabilities_stored_in_32_bits_are_accepted():
    predictions = simulate_predictions(50).astype({f"p_{name}": np.float32 for name in CLASSES})
    assert metrics_of(predictions)["brier"]["value"] == pytest.approx(
        metrics_of(simulate_predictions(50))["brier"]["value"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.head(0), "No predictions to evaluate: the split has no images"),
        (
            lambda t: t.drop(columns=[f"p_{NV}", "group_id"]),
            r"\['group_id', 'p_Melanocytic nevi'\]",
        ),
        (lambda t: t.assign(split=["val", "test"] * 5), r"\['test', 'val'\]"),
        (lambda t: t.assign(label="wart"), r"'label' \(\['wart'\]\)"),
        (lambda t: t.assign(predicted="wart"), r"'predicted' \(\['wart'\]\)"),
        (
            lambda t: t.assign(group_id=[None, *t["group_id"][1:]]),
            r"Missing group_id \(1 predictions\)",
        ),
        (lambda t: t.assign(**{f"p_{NV}": np.nan}), "Invalid probabilities in 10 rows"),
        (lambda t: t.assign(**{f"p_{NV}": 2.0}), r"first: row 0, .* sum to 1"),
        (lambda t: t.assign(**{f"p_{MEL}": -0.5}), "Invalid probabilities in 10 rows"),
    ],
)
def test_invalid_predictions_are_rejected(change, message):
    with pytest.raises(ValueError, match=message):
        metrics_of(change(simulate_predictions(10)))


def test_means_over_classes_have_the_number_of_classes_with_images():
    table = simulate_predictions(200)
    metrics = compute_metrics(table[table["label"] != AK], CLASSES, 0)
    for name in ("balanced_accuracy", "macro_f1", "auroc_macro", "average_precision_macro"):
        assert metrics[name].classes_evaluated == 3, name
    assert metrics["accuracy"].classes_evaluated is None
    assert "classes_evaluated" not in metrics_of(table)["accuracy"]


@pytest.mark.parametrize("log_prior", [None, np.log([0.6, 0.2, 0.15, 0.05])])
def test_calibration_before_scaling_is_that_of_the_logits_without_temperature(log_prior):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(300, 4))
    labels = [CLASSES[c] for c in rng.integers(0, 4, 300)]

    def table(temperature):
        prior = 0 if log_prior is None else log_prior
        probability = softmax(logits / temperature + prior, axis=1)
        return prediction_table(labels, probability).assign(predicted=predicted)

    predicted = [CLASSES[c] for c in logits.argmax(axis=1)]
    scaled = compute_metrics(table(2.5), CLASSES, 0, temperature=2.5, log_prior=log_prior)
    unscaled = compute_metrics(table(1.0), CLASSES, 0)
    before = scaled.calibration.before_scaling
    assert before.temperature == 2.5
    for name in ("expected_calibration_error", "classwise_calibration_error"):
        assert getattr(before, name).value == pytest.approx(unscaled[name].value)
        assert before.expected_calibration_error.value > scaled[name].value
    assert before.overconfidence.value == pytest.approx(unscaled.calibration.overconfidence.value)
    assert unscaled.calibration.before_scaling is None


def test_calibrated_predictions_have_about_the_classwise_error_by_chance():
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet([0.6, 0.3, 0.2, 0.1], 150)
        labels = [CLASSES[rng.choice(4, p=row)] for row in p]
        result = compute_metrics(prediction_table(labels, p), CLASSES, seed)
        by_chance = result.calibration.classwise_error_by_chance
        inside += by_chance.low <= result["classwise_calibration_error"].value <= by_chance.high
    assert inside >= 35


def test_swapped_probabilities_exceed_the_classwise_error_by_chance():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1, 1], 300)
    labels = [CLASSES[rng.choice(4, p=row)] for row in p]
    result = compute_metrics(prediction_table(labels, p[:, [1, 0, 3, 2]]), CLASSES, 0)
    by_chance = result.calibration.classwise_error_by_chance
    assert result["classwise_calibration_error"].value > by_chance.high
