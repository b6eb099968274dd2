import pandas as pd
import pytest

from skin_lesions.audit.class_counts import (
    class_counts_balanced,
    classes_missing_from_splits,
    classes_missing_from_test,
    classes_without_images,
    expected_width,
    small_classes,
)
from support.audit import audit_context
from support.factories import SPLIT, class_table


def test_equal_counts_are_reported_as_balanced():
    table = class_table({f"c{i}": 240 for i in range(9)}, {"train": 0.5, "test": 0.5})
    (finding,) = class_counts_balanced(audit_context(table))
    assert (finding.count, finding.severity) == (9, "info")
    assert finding.details["files_per_class_all"] == 240
    assert finding.details["files_per_class_test"] == 120


def test_unequal_counts_are_not_reported_as_balanced():
    assert class_counts_balanced(audit_context(class_table({"a": 10, "b": 11}))) == []


def test_class_of_only_unreadable_files_is_reported_with_its_files():
    table = class_table({"nv": 3, "mel": 3})
    bad = pd.DataFrame(
        {"file": ["bcc/1.jpg", "bcc/2.jpg", "nv/bad.jpg"], "label": ["bcc", "bcc", "nv"]}
    )
    context = audit_context(
        table,
        source_table=pd.concat([table, bad]),
        quarantine=bad[["file"]].assign(reason="the file is empty"),
    )
    (finding,) = classes_without_images(context)
    assert (finding.severity, finding.examples) == ("high", [["bcc", "2 unreadable files"]])
    assert classes_without_images(audit_context(table)) == []


def test_classes_that_the_planned_split_leaves_without_images_are_listed():
    table = class_table({"nv": 40, "mel": 40, "one": 1, "two": 2, "conflict": 2})
    table.loc[table["label"] == "conflict", "image_id"] = ["x", "y"]
    conflict = table[table["label"] == "conflict"].assign(label="nv")
    table = pd.concat([table, conflict.assign(file=["c1", "c2"])], ignore_index=True)
    (finding,) = classes_missing_from_splits(audit_context(table))
    assert "2 of 5 classes will be evaluated on test" in finding.message
    assert finding.examples == [
        ["conflict", "no train, val, test"],
        ["one", "no val, test"],
        ["two", "no test"],
    ]


def test_classes_in_all_splits_have_no_finding():
    table = class_table({"nv": 40, "mel": 3})
    assert classes_missing_from_splits(audit_context(table)) == []


def test_class_missing_from_the_original_test_split_is_reported_once():
    table = class_table({"nv": 40, "mel": 40}, {"train": 0.5, "val": 0.25, "test": 0.25})
    table = table[table["label"].ne("mel") | table["original_split"].ne("test")]
    for name, checks in {
        "grouped": [classes_missing_from_test],
        "original": [classes_missing_from_splits],
        "cleaned": [classes_missing_from_splits],
    }.items():
        context = audit_context(table, split=SPLIT.model_copy(update={"policy": name}))
        found = [f for f in (classes_missing_from_test, classes_missing_from_splits) if f(context)]
        assert found == checks


def small_class_findings(table, policy="grouped", **keys):
    split = SPLIT.model_copy(update={"policy": policy})
    return small_classes(audit_context(table.assign(**keys), split=split))


def test_classes_too_small_for_the_test_fraction_are_listed_with_the_width():
    (finding,) = small_class_findings(class_table({"rare": 40, "common": 400}))
    assert finding.count == 1
    assert finding.severity == "medium"
    assert finding.examples == [["rare", "about 6 in test", f"width {expected_width(6):.2f}"]]


def test_original_policy_counts_the_original_test_split():
    table = class_table({"a": 400, "b": 400}, {"train": 0.95, "test": 0.05})
    assert small_class_findings(table) == []
    assert small_class_findings(table, "original")[0].count == 2


def test_images_of_one_lesion_count_once():
    table = class_table({"a": 400, "b": 400})
    lesions = [f"g{i // 10}" for i in range(800)]
    assert small_class_findings(table) == []
    assert small_class_findings(table, lesion_id=lesions)[0].count == 2


def test_images_with_conflicting_labels_count_for_no_class_except_under_original_policy():
    table = class_table({"a": 200, "b": 200}, {"test": 1.0})
    table["image_id"] = [f"{i % 200}" for i in range(400)]
    assert small_class_findings(table)[0].examples[0][1] == "none in test"
    assert small_class_findings(table, "original") == []


def test_width_equals_that_of_wilson_and_decreases_with_the_number():
    # 24 of 30 right: 0.627 to 0.905, as in any calculator of Wilson's interval
    assert expected_width(30) == pytest.approx(0.905 - 0.627, abs=0.002)
    assert expected_width(0) == 1.0
    assert expected_width(10) > expected_width(11)
