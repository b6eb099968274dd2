import pandas as pd
import pytest

from skin_lesions.audit import enforce_fail_on, run_audit
from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import group_images
from support.factories import AUDIT, SPLIT


def audited(rows, quarantine=(), examples=5, copies=None):
    """rows: (file, content, label, shipped split, lesion); copies: (a, b, kind, strength)."""
    columns = ["file", "image_id", "label", "original_split", "lesion_id"]
    table = pd.DataFrame(rows, columns=columns)
    quarantine = pd.DataFrame(quarantine, columns=["file", "reason"])
    pairs = pd.DataFrame(copies or [], columns=["a", "b", "kind", "strength"])
    result = run_audit(
        table,
        *group_images(table, pairs),
        quarantine,
        SPLIT,
        AUDIT.model_copy(update={"max_examples": examples}),
    )
    return result["summary"], {finding["id"]: finding for finding in result["findings"]}


CLEAN = [
    ("train/nv/1", "a", "nv", "train", "l1"),
    ("train/mel/2", "b", "mel", "train", "l2"),
    ("test/nv/3", "c", "nv", "test", "l3"),
    ("test/mel/4", "d", "mel", "test", "l4"),
]


def test_a_clean_set_has_no_findings():
    summary, findings = audited(CLEAN)
    assert set(findings) == {"small_classes", "class_counts_balanced"}  # two files a class
    assert summary == {
        "files": 4,
        "images": 4,
        "groups": 4,
        "classes": 2,
        "quarantined": 0,
        "largest_groups": [1, 1, 1, 1],
    }


def test_copies_across_splits_are_counted_as_pairs_with_both_files_named():
    _, findings = audited([*CLEAN, ("test/nv/5", "a", "nv", "test", None)])
    finding = findings["exact_duplicates_across_splits"]
    assert (finding["count"], finding["severity"]) == (1, "high")
    assert finding["examples"] == [["test/nv/5", "train/nv/1"]]
    assert findings["exact_duplicates"]["details"] == {"pairs": 1, "files": 2}


def test_three_equal_files_are_three_pairs():
    _, findings = audited([*CLEAN, *((f"train/nv/{i}", "a", "nv", "train", None) for i in "xy")])
    assert findings["exact_duplicates"]["count"] == 3
    assert "exact_duplicates_across_splits" not in findings


def test_the_same_bytes_under_two_labels_are_told_with_the_labels():
    _, findings = audited([*CLEAN, ("train/mel/5", "a", "mel", "train", None)])
    finding = findings["exact_duplicate_label_conflicts"]
    assert finding["details"] == {"pairs": 1, "images": 1, "mel / nv": 1}
    assert "pixel_identical_label_conflicts" not in findings


def test_a_lesion_across_splits_is_a_leak_and_its_test_share_is_told():
    _, findings = audited([*CLEAN, ("test/nv/5", "e", "nv", "test", "l1")])
    numbers = findings["groups_across_splits"]["details"]
    assert numbers == {
        "groups": 1,
        "leaked_test_files": 1,
        "test_files": 3,
        "share": pytest.approx(1 / 3),
    }


def test_a_lesion_across_train_and_val_leaks_nothing_into_the_test():
    _, findings = audited([*CLEAN, ("val/nv/5", "e", "nv", "val", "l1")])
    assert findings["groups_across_splits"]["details"]["leaked_test_files"] == 0


def test_without_shipped_splits_nothing_can_lie_across_them():
    rows = [(file, i, label, None, "same") for file, i, label, _, _ in CLEAN] + [
        ("z", "a", "nv", None, None)
    ]
    _, findings = audited(rows)
    assert set(findings) == {"exact_duplicates", "groups_with_multiple_labels", "small_classes"}


def test_quarantined_files_are_named_with_their_reason():
    summary, findings = audited(CLEAN, quarantine=[("train/nv/bad.jpg", "the file is empty")])
    assert summary["files"] == 5
    assert findings["unreadable_files"]["examples"] == [["train/nv/bad.jpg", "the file is empty"]]


def test_classes_that_the_shipped_test_lacks_are_named():
    _, findings = audited([*CLEAN, ("train/df/1", "z", "df", "train", None)])
    assert findings["classes_missing_from_test"]["examples"] == [["df"]]


def test_no_more_examples_than_asked_for_but_all_are_counted():
    copies = [(f"train/nv/copy{i}", "a", "nv", "train", None) for i in range(9)]
    _, findings = audited([*CLEAN, *copies], examples=3)
    assert findings["exact_duplicates"]["count"] == 45
    assert len(findings["exact_duplicates"]["examples"]) == 3


def test_the_gravest_findings_come_first():
    rows = [*CLEAN, ("train/mel/5", "c", "mel", "train", None)]
    table = pd.DataFrame(rows, columns=["file", "image_id", "label", "original_split", "lesion_id"])
    empty = pd.DataFrame(columns=["file", "reason"])
    severities = [
        f["severity"]
        for f in run_audit(table, *group_images(table), empty, SPLIT, AUDIT)["findings"]
    ]
    assert severities == sorted(severities, key=["high", "medium", "low", "info"].index)
    assert "high" in severities
    assert "medium" in severities


def test_copies_by_pixels_are_counted_by_kind_and_those_under_two_labels_named():
    copies = [(0, 2, "simple", 0.95), (1, 2, "changed", 0.6)]
    _, found = audited(CLEAN, copies=copies)
    assert found["near_duplicates"].items() >= {"count": 2, "severity": "medium"}.items()
    numbers = found["near_duplicates"]["details"]
    assert (numbers["near_duplicate_simple"], numbers["near_duplicate_transformed"]) == (1, 1)
    torn = found["near_duplicate_label_conflicts"]
    assert torn["examples"] == [["train/mel/2", "test/nv/3"]]


def test_equal_pixels_under_two_labels_are_grave_and_counted_apart_from_equal_bytes():
    rows = [
        *CLEAN,
        ("test/mel/5", "e", "mel", "test", None),
        ("test/nv/6", "b", "nv", "test", None),
    ]
    # 1 and 5 have equal pixels, so have 2 and 3; 2 and 6 even equal bytes.
    _, found = audited(rows, copies=[(0, 4, "pixels", 1.0), (1, 2, "pixels", 1.0)])
    finding = found["pixel_identical_label_conflicts"]
    assert finding["severity"] == "high"
    assert finding["details"] == {"pictures": 2, "files": 5, "mel / nv": 2}
    assert finding["examples"] == [
        ["test/mel/5", "train/nv/1"],
        ["test/nv/3", "test/nv/6", "train/mel/2"],
    ]
    exact = found["exact_duplicate_label_conflicts"]
    assert exact["details"] == {"pairs": 1, "images": 1, "mel / nv": 1}
    assert "near_duplicate_label_conflicts" not in found  # these are changed copies
    assert "groups_with_multiple_labels" not in found  # all of them are left out


def test_equal_pixels_under_one_label_contradict_nothing():
    rows = [*CLEAN, ("test/nv/5", "e", "nv", "test", None)]
    _, found = audited(rows, copies=[(0, 4, "pixels", 1.0)])
    assert "pixel_identical_label_conflicts" not in found


def test_leaks_are_told_by_class_and_by_evidence():
    rows = [*CLEAN, ("test/nv/5", "a", "nv", "test", "l5")]  # the bytes of train/nv/1
    _, found = audited(rows, copies=[(1, 3, "changed", 0.8)])
    assert found["test_leakage_by_class"]["details"] == {"mel": 1.0, "nv": 0.5}
    by_evidence = found["leakage_by_link_type"]["details"]
    assert by_evidence == {"image_id": 1, "near_duplicate_transformed": 1}


@pytest.mark.parametrize(
    ("fail_on", "stops"), [("never", False), ("high", False), ("medium", True), ("low", True)]
)
def test_a_finding_as_grave_as_fail_on_stops_the_run_and_says_what_to_do(fail_on, stops):
    finding = {
        "severity": "medium",
        "message": "2 files are blank.",
        "recommendation": "Look at them.",
    }
    findings = {"findings": [finding], "image_table_version": "v1"}
    if not stops:
        enforce_fail_on(findings, "v1", fail_on)
        return
    with pytest.raises(InputError, match=r"2 files are blank\. What to do: Look .*fail_on=never"):
        enforce_fail_on(findings, "v1", fail_on)


def test_the_gate_refuses_findings_about_other_images():
    findings = {"findings": [], "image_table_version": "v1"}
    enforce_fail_on(findings, "v2", "never")
    with pytest.raises(InputError, match="version v1, and this is v2; .*--pipelines audit"):
        enforce_fail_on(findings, "v2", "high")
