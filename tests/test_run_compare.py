"""End-to-end runs of `compare`, and of the results of `evaluate` beyond the metrics."""

import re

import pytest

from skin_lesions.core.errors import InputError

pytestmark = pytest.mark.slow


def test_two_evaluations_are_compared_on_a_page(demo_copy):
    demo_copy.run("evaluate")
    demo_copy.run("compare")
    first, second = demo_copy.versions("predictions")
    comparison = demo_copy.load("comparison")
    assert comparison.baseline.predictions_version == first
    assert comparison.candidate.predictions_version == second
    assert comparison.verdict == "no_difference_shown"
    page = demo_copy.load("comparison_page")
    assert "No difference shown" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    stored = demo_copy.catalog().load("stored_comparisons")
    assert stored.select(stored.versions[0], "report.comparison") == comparison


def test_predictions_of_another_data_root_are_compared(demo_copy, demo_run):
    demo_copy.run("compare", compare={"baseline": str(demo_run.data_root)})
    comparison = demo_copy.load("comparison")
    assert comparison.baseline.source == demo_run.data_root.name
    assert comparison.candidate.source == "this data root"


def test_comparison_in_the_run_of_an_evaluation_is_rejected(demo_copy):
    with pytest.raises(InputError, match="run evaluate first"):
        demo_copy.run("evaluate", "compare")


def test_single_evaluation_cannot_be_compared(demo_copy):
    with pytest.raises(Exception, match="no version of predictions older than the candidate"):
        demo_copy.run("compare")


def test_each_evaluation_is_recorded_in_the_ledger(demo_copy):
    (only,) = demo_copy.load("test_ledger").rows
    assert only.model_version == demo_copy.versions("model")[0]
    assert only.balanced_accuracy == demo_copy.load("metrics").test["balanced_accuracy"].value
    demo_copy.run("evaluate")
    demo_copy.run("report")
    ledger = demo_copy.load("test_ledger")
    assert "evaluated 2 times in this data root, with 1 model" in ledger.summary(only.model_version)


def test_damaged_ledger_stops_an_evaluation_before_its_first_node(demo_copy):
    path = demo_copy.data_root / "08_reporting/test_ledger.csv"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Exception, match="Line 2 of .* is damaged"):
        demo_copy.run("evaluate")
    assert len(demo_copy.versions("predictions")) == 1
    with pytest.raises(Exception, match="Line 2 of .* is damaged"):
        demo_copy.run("report")  # it states the number of evaluations


def test_robustness_is_not_measured_by_default_and_measured_on_request(demo_copy):
    assert not demo_copy.load("robustness").measured
    chosen = {"enabled": True, "corruptions": ["noise"]}
    demo_copy.run("evaluate", evaluate={"robustness": chosen})
    found = demo_copy.load("robustness")
    assert [entry.name for entry in found.corruptions] == ["noise"]
    assert found.provenance.predictions_version == demo_copy.versions("predictions")[-1]
    assert found.accuracy == demo_copy.load("metrics").test["accuracy"]


def test_label_issues_are_images_of_validation_and_test_with_other_labels(demo_copy):
    issues = demo_copy.load("label_issues")
    predictions = demo_copy.table("predictions").set_index("file")
    assert len(issues) > 0
    assert set(issues["file"]) <= set(predictions.index)
    assert (issues["label"] == predictions.loc[issues["file"], "label"].to_numpy()).all()
