import pandas as pd
import pytest

from skin_lesions.audit import run_audit
from skin_lesions.audit.findings import AuditSummary
from support.audit import audit_context, by_id
from support.factories import AUDIT


def audit_of(rows, quarantine=(), examples=5, near_duplicates=None):
    """Run the audit; return the summary and the findings by id.

    rows: (file, content, label, original split, lesion).
    near_duplicates: (a, b, kind, strength); a and b are positions in rows.
    """
    columns = ["file", "image_id", "label", "original_split", "lesion_id"]
    context = audit_context(
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(near_duplicates or [], columns=["a", "b", "kind", "strength"]),
        quarantine=pd.DataFrame(quarantine, columns=["file", "reason"]),
        parameters=AUDIT.model_copy(update={"max_examples": examples}),
    )
    found = run_audit(context)
    return found.summary, by_id(found.findings)


CLEAN = [
    ("train/nv/1", "a", "nv", "train", "l1"),
    ("train/mel/2", "b", "mel", "train", "l2"),
    ("test/nv/3", "c", "nv", "test", "l3"),
    ("test/mel/4", "d", "mel", "test", "l4"),
]


def test_clean_dataset_has_only_findings_on_its_size():
    summary, findings = audit_of(CLEAN)
    assert set(findings) == {"small_classes", "class_counts_balanced"}  # two files per class
    assert summary == AuditSummary(
        files=4, images=4, groups=4, classes=2, quarantined=0, largest_groups=[1, 1, 1, 1]
    )


def test_exact_duplicates_across_splits_are_counted_as_pairs_with_both_files():
    _, findings = audit_of([*CLEAN, ("test/nv/5", "a", "nv", "test", None)])
    finding = findings["exact_duplicates_across_splits"]
    assert (finding.count, finding.severity) == (1, "high")
    assert finding.examples == [["test/nv/5", "train/nv/1"]]
    assert findings["exact_duplicates"].details == {"pairs": 1, "files": 2}


@pytest.mark.parametrize(
    ("a", "b", "severity", "effect"),
    [
        ("train", "test", "high", "Test scores on the original split are usually too high"),
        ("val", "test", "medium", "selected with images that are related to test images"),
        ("train", "val", "medium", "Test scores are not affected otherwise"),
    ],
)
def test_severity_of_leakage_depends_on_the_splits_concerned(a, b, severity, effect):
    rows = [
        *CLEAN,
        (f"{a}/nv/5", "x", "nv", a, "l5"),
        (f"{b}/nv/6", "x", "nv", b, "l5"),  # equal bytes
        (f"{b}/nv/7", "y", "nv", b, "l5"),  # only the same lesion
    ]
    _, findings = audit_of(rows)
    for name in ("exact_duplicates_across_splits", "groups_across_splits"):
        assert findings[name].severity == severity
        assert effect in findings[name].recommendation


def test_classes_with_the_largest_leaked_fraction_come_first():
    rows = [(f"train/{label}/0", f"t{label}", label, "train", label) for label in "abcd"]
    for label, leaked in (("a", 1), ("b", 3), ("c", 0), ("d", 2)):
        rows += [
            (f"test/{label}/{i}", f"{label}{i}", label, "test", label if i < leaked else None)
            for i in range(4)
        ]
    _, findings = audit_of(rows)
    finding = findings["test_leakage_by_class"]
    assert finding.examples == [["b", "75.0%"], ["d", "50.0%"], ["a", "25.0%"]]
    assert finding.message.endswith("by class: b 3 of 4; d 2 of 4; a 1 of 4.")


def test_strongest_near_duplicates_are_the_first_examples():
    pairs = [(0, 2, "changed", 0.6), (1, 3, "changed", 0.9)]
    _, findings = audit_of(CLEAN, near_duplicates=pairs)
    assert findings["near_duplicates"].examples == [
        ["train/mel/2", "test/mel/4"],
        ["train/nv/1", "test/nv/3"],
    ]


def test_one_group_across_train_and_test_makes_the_finding_severe():
    rows = [
        *CLEAN,
        ("val/nv/5", "e", "nv", "val", "l1"),  # train and val
        ("test/mel/6", "f", "mel", "test", "l2"),  # train and test
    ]
    assert audit_of(rows)[1]["groups_across_splits"].severity == "high"


def test_finding_that_divides_another_one_needs_no_action():
    _, findings = audit_of([*CLEAN, ("test/nv/5", "e", "nv", "test", "l1")])
    assert findings["test_leakage_by_class"].severity == "info"
    assert findings["leakage_by_link_type"].severity == "info"


def test_three_equal_files_are_three_pairs():
    _, findings = audit_of([*CLEAN, *((f"train/nv/{i}", "a", "nv", "train", None) for i in "xy")])
    assert findings["exact_duplicates"].count == 3
    assert "exact_duplicates_across_splits" not in findings


def test_exact_duplicates_with_conflicting_labels_are_reported_with_the_labels():
    _, findings = audit_of([*CLEAN, ("train/mel/5", "a", "mel", "train", None)])
    finding = findings["exact_duplicate_label_conflicts"]
    assert finding.details == {"pairs": 1, "images": 1, "mel / nv": 1}
    assert "pixel_identical_label_conflicts" not in findings


def test_lesion_across_splits_is_leakage_reported_with_the_test_fraction():
    _, findings = audit_of([*CLEAN, ("test/nv/5", "e", "nv", "test", "l1")])
    details = findings["groups_across_splits"].details
    assert details == {
        "groups": 1,
        "leaked_test_files": 1,
        "test_files": 3,
        "fraction": pytest.approx(1 / 3),
    }


def test_lesion_across_train_and_val_is_no_test_leakage():
    _, findings = audit_of([*CLEAN, ("val/nv/5", "e", "nv", "val", "l1")])
    assert findings["groups_across_splits"].details["leaked_test_files"] == 0


def test_without_original_splits_there_are_no_findings_across_splits():
    rows = [(file, i, label, None, "same") for file, i, label, _, _ in CLEAN] + [
        ("z", "a", "nv", None, None)
    ]
    _, findings = audit_of(rows)
    assert set(findings) == {"exact_duplicates", "groups_with_multiple_labels", "small_classes"}


def test_unreadable_files_are_listed_with_the_reason():
    summary, findings = audit_of(CLEAN, quarantine=[("train/nv/bad.jpg", "the file is empty")])
    assert summary.files == 5
    assert findings["unreadable_files"].examples == [["train/nv/bad.jpg", "the file is empty"]]
    assert findings["unreadable_files"].severity == "low"  # they are in no split


def test_classes_missing_from_the_original_test_split_are_listed():
    _, findings = audit_of([*CLEAN, ("train/df/1", "z", "df", "train", None)])
    assert findings["classes_missing_from_test"].examples == [["df"]]


def test_examples_are_limited_but_all_pairs_are_counted():
    duplicates = [(f"train/nv/copy{i}", "a", "nv", "train", None) for i in range(9)]
    _, findings = audit_of([*CLEAN, *duplicates], examples=3)
    assert findings["exact_duplicates"].count == 45
    assert len(findings["exact_duplicates"].examples) == 3


def test_most_severe_findings_come_first():
    _, findings = audit_of([*CLEAN, ("train/mel/5", "c", "mel", "train", None)])
    severities = [finding.severity for finding in findings.values()]
    assert severities == sorted(severities, key=["high", "medium", "low", "info"].index)
    assert "high" in severities
    assert "medium" in severities


def test_near_duplicates_are_counted_by_kind_and_label_conflicts_are_listed():
    pairs = [(0, 2, "simple", 0.95), (1, 2, "changed", 0.6)]
    _, found = audit_of(CLEAN, near_duplicates=pairs)
    assert (found["near_duplicates"].count, found["near_duplicates"].severity) == (2, "medium")
    details = found["near_duplicates"].details
    assert (details["near_duplicate_simple"], details["near_duplicate_transformed"]) == (1, 1)
    conflicts = found["near_duplicate_label_conflicts"]
    assert conflicts.examples == [["train/mel/2", "test/nv/3"]]


def test_near_duplicates_in_separate_groups_are_counted_and_are_no_leakage():
    pairs = [(0, 1, "simple", 0.9), (2, 3, "simple", 0.9), (1, 2, "changed", 0.5)]  # the last: weak
    _, found = audit_of(CLEAN, near_duplicates=pairs)
    details = found["near_duplicates"].details
    assert (details["pairs"], details["pairs_not_merged"]) == (3, 1)
    assert "1 pair did not merge the groups" in found["near_duplicates"].message
    assert "leakage_by_link_type" not in found


def test_identical_pixels_with_conflicting_labels_are_severe_and_separate_from_exact_duplicates():
    rows = [
        *CLEAN,
        ("test/mel/5", "e", "mel", "test", None),
        ("test/nv/6", "b", "nv", "test", None),
    ]
    # 1 and 5 have equal pixels, and so have 2 and 3. 2 and 6 also have equal bytes.
    _, found = audit_of(rows, near_duplicates=[(0, 4, "pixels", 1.0), (1, 2, "pixels", 1.0)])
    finding = found["pixel_identical_label_conflicts"]
    assert finding.severity == "high"
    assert finding.details == {"images": 2, "files": 5, "mel / nv": 2}
    assert finding.examples == [
        ["test/mel/5", "train/nv/1"],
        ["test/nv/3", "test/nv/6", "train/mel/2"],
    ]
    exact = found["exact_duplicate_label_conflicts"]
    assert exact.details == {"pairs": 1, "images": 1, "mel / nv": 1}
    assert "near_duplicate_label_conflicts" not in found  # only of pairs with different pixels
    assert "groups_with_multiple_labels" not in found  # all of them are left out


def test_identical_pixels_with_one_label_are_no_conflict():
    rows = [*CLEAN, ("test/nv/5", "e", "nv", "test", None)]
    _, found = audit_of(rows, near_duplicates=[(0, 4, "pixels", 1.0)])
    assert "pixel_identical_label_conflicts" not in found


def test_leakage_is_reported_by_class_and_by_link_type():
    rows = [*CLEAN, ("test/nv/5", "a", "nv", "test", "l5")]  # the bytes of train/nv/1
    _, found = audit_of(rows, near_duplicates=[(1, 3, "changed", 0.8)])
    assert found["test_leakage_by_class"].details == {"mel": 1.0, "nv": 0.5}
    by_link_type = found["leakage_by_link_type"].details
    assert by_link_type == {"image_id": 1, "near_duplicate_transformed": 1}
