"""Evaluation of prediction sets and selective prediction, against counts by loops."""

import json

import numpy as np
import pandas as pd
import pytest

from skin_lesions.evaluation.uncertainty import Uncertainty, uncertainty_metrics
from skin_lesions.metrics.intervals import proportion
from skin_lesions.metrics.selective import aurc_and_influence
from skin_lesions.models.postprocessing.referral import ReferralThreshold
from support.report_inputs import two_classes, with_frame

CLASSES = ("a", "b", "c")
NO_THRESHOLD = ReferralThreshold(
    target_accuracy=0.9,
    min_confidence=None,
    reason="made up",
    n=50,
    answered=0,
    accuracy=None,
)


def threshold(min_confidence):
    return ReferralThreshold(
        target_accuracy=0.9,
        min_confidence=min_confidence,
        reason=None,
        n=50,
        answered=40,
        accuracy=0.92,
    )


def table(n=240, seed=0, images_per_group=3):
    """Make predictions with random sets; predictions need not have the highest probability."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    label = rng.choice(2, size=n)  # no image of class c
    logits[np.arange(n), label] += 1.2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    balanced = p * [1, 2, 3] / (p * [1, 2, 3]).sum(axis=1, keepdims=True)
    predicted = balanced.argmax(axis=1)
    return pd.DataFrame(
        {
            "group_id": [f"g{i // images_per_group}" for i in range(n)],
            "split": "test",
            "label": [CLASSES[c] for c in label],
            "predicted": [CLASSES[c] for c in predicted],
            "conformal_set": pd.Series(
                [[name for c, name in enumerate(CLASSES) if row[c] > 0.4] for row in p],
                dtype=object,
            ),
            **{f"p_{name}": p[:, c] for c, name in enumerate(CLASSES)},
            **{f"p_balanced_{name}": balanced[:, c] for c, name in enumerate(CLASSES)},
        }
    )


def measure(predictions, referral=NO_THRESHOLD):
    return uncertainty_metrics(predictions, CLASSES, 0.9, referral)


def assert_proportion(found, success, groups):
    expected = proportion(success, groups)
    assert found.n == expected.n
    assert [found.value, found.low, found.high] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )


def assert_sets(found, rows):
    """Compare with counts by loops."""
    sizes = [len(names) for names in rows["conformal_set"]]
    pairs = zip(rows["label"], rows["conformal_set"], strict=True)
    hit = [label in names for label, names in pairs]
    assert found.n == len(rows)
    assert_proportion(found.coverage, hit, rows["group_id"])
    assert_proportion(found.empty, [size == 0 for size in sizes], rows["group_id"])
    assert_proportion(found.single, [size == 1 for size in sizes], rows["group_id"])
    assert found.mean_size.value == pytest.approx(np.mean(sizes))
    assert found.mean_size.low < found.mean_size.value < found.mean_size.high
    assert list(found.sizes) == [sizes.count(size) for size in range(4)]


def test_coverage_and_size_of_the_sets_agree_with_counts_overall_and_per_class():
    rows = table()
    found = measure(rows).conformal
    assert found.target_coverage == 0.9
    assert_sets(found.overall, rows)
    assert {len(names) for names in rows["conformal_set"]} == {0, 1, 2}
    for name in ("a", "b"):
        assert_sets(found.per_class[name], rows[rows["label"] == name])


def test_interval_of_the_mean_size_uses_the_groups():
    rows = pd.concat([table(60, images_per_group=1)] * 4, ignore_index=True)
    alone = rows.assign(group_id=[f"g{i}" for i in range(240)])
    widths = [
        size.high - size.low
        for size in (measure(t).conformal.overall.mean_size for t in (rows, alone))
    ]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.1)


def test_class_without_images_has_no_estimates():
    found = measure(table()).conformal.per_class["c"]
    assert found.n == 0
    for estimate in (found.coverage, found.mean_size, found.empty, found.single):
        assert estimate.value is None
        assert estimate.reason


def test_unknown_class_in_a_set_is_rejected():
    rows = table(6)
    rows.at[2, "conformal_set"] = ["a", "x"]
    with pytest.raises(ValueError, match=r"'conformal_set' \(\['x'\]\)"):
        measure(rows)


def test_missing_sets_are_rejected_with_the_fix():
    with pytest.raises(ValueError, match="kedro run --pipelines evaluate"):
        measure(table(6).drop(columns="conformal_set"))


def confidence_of(rows):
    """Return the probability of the predicted class for the frequencies of training images."""
    return np.array([row[f"p_{row['predicted']}"] for _, row in rows.iterrows()])


def test_risk_and_aurc_use_the_confidence_of_the_predicted_class():
    rows = table()
    confidence, correct = confidence_of(rows), (rows["label"] == rows["predicted"]).to_numpy()
    found = measure(rows).selective
    assert found.aurc.value == pytest.approx(aurc_and_influence(confidence, correct)[0])
    assert found.aurc.low < found.aurc.value < found.aurc.high
    assert_proportion(found.risk, ~correct, rows["group_id"])
    assert found.lowest_aurc < found.aurc.value


def test_points_of_the_curve_answer_the_most_confident_images():
    rows = table()
    confidence, correct = confidence_of(rows), (rows["label"] == rows["predicted"]).to_numpy()
    curve = measure(rows).selective.curve
    assert [point.coverage for point in curve] == pytest.approx(np.arange(1, 21) / 20)
    for point in curve:
        answered = confidence >= point.min_confidence
        assert_proportion(point.risk, ~correct[answered], rows["group_id"][answered])
        assert point.coverage == pytest.approx(answered.mean())


def test_images_of_equal_confidence_are_one_point_of_the_curve():
    rows = table(40).assign(p_a=0.5, p_b=0.3, p_c=0.2, predicted="a")
    (point,) = measure(rows).selective.curve
    assert point.coverage == 1.0


def test_aurc_of_few_wrong_predictions_has_no_interval():
    rows = table(60).assign(predicted=lambda t: t["label"])
    rows.loc[:4, "predicted"] = "c"
    aurc = measure(rows).selective.aurc
    assert aurc.value > 0
    assert aurc.low is None
    assert "fewer than 20 wrong predictions" in aurc.reason


def test_referral_counts_images_below_the_threshold():
    rows = table()
    confidence, correct = confidence_of(rows), (rows["label"] == rows["predicted"]).to_numpy()
    found = measure(rows, threshold(0.6)).selective.referral
    referred = confidence < 0.6
    assert found.min_confidence == 0.6
    group = rows["group_id"]
    assert_proportion(found.referred, referred, group)
    assert_proportion(found.accuracy_answered, correct[~referred], group[~referred])
    assert_proportion(found.accuracy_referred, correct[referred], group[referred])


@pytest.mark.parametrize(
    ("min_confidence", "missing", "reason"),
    [
        (0.0, "accuracy_referred", "no image is referred"),
        (1.0, "accuracy_answered", "all images are referred"),
    ],
)
def test_accuracy_of_no_images_is_missing_with_the_reason(min_confidence, missing, reason):
    found = measure(table(), threshold(min_confidence)).selective.referral
    assert getattr(found, missing).value is None
    assert getattr(found, missing).reason == reason
    assert found.referred.value == min_confidence


def test_missing_threshold_gives_no_estimates_and_the_reason():
    found = measure(table()).selective.referral
    assert found.reason == "made up"
    for estimate in (found.referred, found.accuracy_answered, found.accuracy_referred):
        assert estimate.value is None
        assert "made up" in estimate.reason


def test_results_survive_the_json_file():
    uncertainty = two_classes().uncertainty
    loaded = Uncertainty.model_validate_json(uncertainty.model_dump_json())
    assert loaded == uncertainty
    assert "test_clean" not in json.loads(uncertainty.model_dump_json())


def test_sets_are_read_from_arrays_of_names_as_parquet_returns_them(tmp_path):
    study = two_classes()
    frame = study.predictions.frame
    frame.to_parquet(tmp_path / "p.parquet")
    study.predictions = with_frame(study.predictions, pd.read_parquet(tmp_path / "p.parquet"))
    assert study.uncertainty.test == two_classes().uncertainty.test
