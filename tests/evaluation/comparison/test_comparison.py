from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.evaluation.classes import predicted_classes
from skin_lesions.evaluation.comparison import Comparison, compare_predictions
from skin_lesions.evaluation.comparison.alignment import align_tests
from skin_lesions.evaluation.scorecard import compute_metrics
from skin_lesions.metrics.paired import mcnemar_exact
from support.report_inputs import fourteen_classes, two_classes, with_frame


def compared(baseline, candidate, *, paired=True, max_examples=10) -> Comparison:
    return compare_predictions(
        baseline,
        candidate,
        sources=("first", "second"),
        is_paired=paired,
        max_examples=max_examples,
    )


def with_more_skill(table, labels, skill: float):
    """Move a fraction of the probability to the label."""
    frame = table.frame.copy()
    columns = [f"p_{label}" for label in labels]
    one_hot = np.eye(len(labels))[pd.Index(labels).get_indexer(frame["label"])]
    probability = (1 - skill) * frame[columns].to_numpy() + skill * one_hot
    frame[columns] = probability
    frame["predicted"] = np.array(labels)[probability.argmax(axis=1)]
    return replace(with_frame(table, frame), version="V2")


@pytest.fixture(scope="module")
def study():
    return fourteen_classes()


@pytest.fixture(scope="module")
def better(study):
    return with_more_skill(study.predictions, study.labels, 0.25)


def test_better_candidate_is_found_with_the_metrics_of_the_scorecard(study, better):
    found = compared(study.predictions, better)
    assert found.verdict == "candidate_better"
    tests = [t.frame[t.frame["split"] == "test"] for t in (study.predictions, better)]
    cards = [compute_metrics(rows, study.labels, 0) for rows in tests]
    for key, entry in found.metrics.items():
        for found_estimate, card in zip((entry.baseline, entry.candidate), cards, strict=True):
            # The rows have another order, so that sums are rounded differently.
            expected = (card[key].value, card[key].low, card[key].high)
            bounds = (found_estimate.value, found_estimate.low, found_estimate.high)
            assert bounds == pytest.approx(expected)
        expected = cards[1][key].value - cards[0][key].value
        assert entry.difference.value == pytest.approx(expected)
    assert found.metrics["log_loss"].verdict == "candidate_better"
    assert not found.metrics["log_loss"].higher_is_better
    assert (found.baseline.confusion, found.candidate.confusion) == (
        cards[0].confusion,
        cards[1].confusion,
    )
    correct = [(rows["label"] == rows["predicted"]).to_numpy() for rows in tests]
    assert found.mcnemar == mcnemar_exact(*correct)


def test_exchanged_models_have_the_opposite_verdicts(study, better):
    found = compared(better, study.predictions)
    assert found.verdict == "baseline_better"
    assert found.metrics["log_loss"].verdict == "baseline_better"


def test_equal_predictions_show_no_difference(study):
    found = compared(study.predictions, replace(study.predictions, version="V2"))
    assert found.verdict == "no_difference_shown"
    assert (found.disagreements, found.examples) == (0, ())
    assert (found.mcnemar.p_value, found.groups_test.p_value) == (1.0, 1.0)
    assert {entry.verdict for entry in found.per_class.values()} == {"no_difference_shown"}


def test_order_of_the_rows_has_no_effect(study, better):
    shuffled = with_frame(better, better.frame.sample(frac=1, random_state=1))
    assert compared(study.predictions, shuffled) == compared(study.predictions, better)


def test_classes_are_corrected_for_their_number(study, better):
    found = compared(study.predictions, better).per_class
    for entry in found.values():
        assert entry.p_adjusted >= entry.p_value
        assert (entry.verdict == "no_difference_shown") == (entry.p_adjusted > 0.05)
    assert any(entry.p_adjusted > 0.05 >= entry.p_value for entry in found.values())


def test_class_without_test_images_has_no_test_but_a_reason():
    untested = two_classes(untested=("Melanoma",))
    found = compared(untested.predictions, replace(untested.predictions, version="V2"))
    entry = found.per_class["Melanoma"]
    assert (entry.p_value, entry.verdict) == (None, "unknown")
    assert entry.difference.reason == "no images to compare"
    assert found.metrics["auroc_macro"].verdict == "unknown"


def test_examples_are_the_largest_changes_of_the_probability_of_the_label(study, better):
    found = compared(study.predictions, better, max_examples=3)
    assert len(found.examples) == 3 < found.disagreements
    changes = [abs(e.candidate_probability - e.baseline_probability) for e in found.examples]
    assert changes == sorted(changes, reverse=True)
    assert all(example.baseline != example.candidate for example in found.examples)
    row = better.frame.set_index("file").loc[found.examples[0].file]
    assert found.examples[0].candidate_probability == row[f"p_{row['label']}"]


def test_different_test_images_are_rejected_with_their_number(study, better):
    fewer = with_frame(
        better, better.frame.drop(index=better.frame.query("split=='test'").index[:4])
    )
    message = (
        "4 are only in the baseline, 0 only in the candidate, and .* in both.*compare.paired=false"
    )
    with pytest.raises(InputError, match=message):
        compared(study.predictions, fewer)


def test_unpaired_comparison_accepts_different_test_images(study, better):
    test = better.frame.query("split == 'test'").index
    fewer = with_frame(better, better.frame.drop(index=test[:40]))
    found = compared(study.predictions, fewer, paired=False)
    assert (found.mcnemar, found.groups_test, found.disagreements) == (None, None, None)
    assert found.common_images == found.candidate.n == found.baseline.n - 40
    assert {entry.p_adjusted for entry in found.per_class.values()} == {None}
    paired = compared(study.predictions, better).metrics["accuracy"].difference
    unpaired = found.metrics["accuracy"].difference
    assert unpaired.high - unpaired.low > paired.high - paired.low


def test_changed_labels_are_rejected_with_an_example():
    predictions = two_classes().predictions
    frame = predictions.frame.copy()
    first = frame.query("split == 'test'").index[0]
    frame.loc[first, "label"] = "Melanoma" if frame.loc[first, "label"] == "Benign" else "Benign"
    with pytest.raises(InputError, match="1 test image .*have different labels"):
        compared(predictions, with_frame(predictions, frame))


def test_different_classes_are_rejected_by_name(study):
    with pytest.raises(InputError, match="different classes .*Only in the baseline: Benign"):
        compared(two_classes().predictions, study.predictions)


def test_other_order_of_the_classes_has_no_effect(study, better):
    columns = sorted(better.frame.columns)
    reordered = with_frame(better, better.frame[columns])
    found, expected = compared(study.predictions, reordered), compared(study.predictions, better)
    assert found.metrics["balanced_accuracy"] == expected.metrics["balanced_accuracy"]
    assert found.per_class == {name: expected.per_class[name] for name in found.classes}


def test_predictions_without_test_images_are_rejected(study):
    validation = with_frame(study.predictions, study.predictions.frame.query("split == 'val'"))
    with pytest.raises(InputError, match="of the candidate contain no test images"):
        compared(study.predictions, validation)


def test_files_with_equal_bytes_are_aligned_one_by_one():
    """Under the policy original, one image can have several files, also with two labels."""
    rows = pd.DataFrame(
        {
            "file": ["b.jpg", "a.jpg", "c.jpg"],
            "image_id": ["1", "1", "2"],
            "label": ["nv", "mel", "nv"],
            "group_id": ["g", "g", "h"],
        }
    )
    aligned = align_tests(rows, rows.iloc[::-1])
    assert aligned.baseline["file"].tolist() == aligned.candidate["file"].tolist()
    with pytest.raises(InputError, match="1 are only in the baseline"):
        align_tests(rows, rows.iloc[1:])


def test_groups_of_both_tables_are_merged():
    rows = pd.DataFrame({"file": list("abcd"), "image_id": list("1234"), "label": "nv"})
    first = rows.assign(group_id=["x", "x", "y", "z"])
    second = rows.assign(group_id=["p", "q", "q", "r"])
    group = align_tests(first, second).group
    assert group[0] == group[1] == group[2] != group[3]


def test_balanced_probabilities_are_not_taken_for_classes():
    columns = ["p_nv", "p_balanced nevus", "p_balanced_nv", "p_balanced_balanced nevus"]
    assert predicted_classes(pd.DataFrame(columns=columns)) == ("nv", "balanced nevus")


def test_json_form_contains_everything(study, better):
    found = compared(study.predictions, better)
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    assert found.with_version("V9").version == "V9"
