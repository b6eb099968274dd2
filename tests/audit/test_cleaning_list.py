import pandas as pd
import pytest

from skin_lesions.audit.cleaning_list import COLUMNS, list_files
from skin_lesions.audit.image_quality import QualityFault
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS
from skin_lesions.data.image_table import NO_LABEL

NO_LINKS = pd.DataFrame(columns=["file_a", "file_b", "kind", "strength", "same_group"])
NO_FILES = pd.DataFrame(columns=["file", "reason"])


def selection(*rows, **columns):
    """Make the result of select_files from rows (file, image_id, pixel_id, label, split)."""
    table = pd.DataFrame(rows, columns=["file", "image_id", "pixel_id", "label", "split"])
    table = table.astype(object).where(table.notna(), None)
    return table.assign(group_id="g" + table["pixel_id"], **{"related_file": None, **columns})


def links(*pairs, same_group=True, strength=0.8):
    table = pd.DataFrame(pairs, columns=["file_a", "file_b"])
    kind = NEAR_DUPLICATE_KINDS["changed"]
    return table.assign(kind=kind, strength=strength, same_group=same_group)


def listed(selected, image_links=NO_LINKS, quarantine=NO_FILES, faults=()):
    found = list_files(selected, image_links, quarantine, faults)
    assert found.columns.tolist() == COLUMNS
    assert all(isinstance(cell, str) for cell in found.to_numpy().ravel())
    return found.set_index("file")


def test_ordinary_files_are_not_listed():
    selected = selection(("a", "1", "1", "nv", "train"), ("b", "2", "2", "nv", "test"))
    assert listed(selected).empty


def test_exact_duplicates_are_dropped_with_the_retained_file():
    selected = selection(
        ("a", "1", "1", "nv", "train"), ("b", "1", "1", "nv", None), related_file=[None, "a"]
    )
    found = listed(selected)
    assert found.loc["b"].to_dict() == {
        "action": "drop",
        "reason": "exact duplicate of a",
        "related_file": "a",
        "group_id": "g1",
        "split": "",
    }
    assert found.index.tolist() == ["b"]


def test_identical_pixels_and_related_images_have_their_own_reasons():
    selected = selection(
        ("a", "1", "1", "nv", "test"),
        ("b", "2", "1", "nv", None),
        ("c", "3", "3", "nv", None),
        ("d", "4", "4", "nv", None),
        related_file=[None, "a", "a", None],
    )
    assert listed(selected)["reason"].to_dict() == {
        "b": "identical pixels, but other bytes than a",
        "c": "related to a, which is in test",
        "d": "left out of the split because of a possible near-duplicate in another split",
    }


def test_label_conflicts_are_checked_and_not_dropped():
    selected = selection(
        ("a", "1", "1", "nv", None), ("b", "1", "1", "mel", None), related_file=["c", "c"]
    )
    found = listed(selected)
    assert found["action"].tolist() == ["check", "check"]
    assert found["related_file"].to_dict() == {"a": "b", "b": "a"}
    reason = "conflicting labels: mel, but a with identical pixels is labeled nv"
    assert found.loc["b", "reason"] == reason


def test_second_file_of_near_duplicates_is_merged_with_the_first():
    selected = selection(("a", "1", "1", "nv", "val"), ("b", "2", "2", "nv", "val"))
    found = listed(selected, links(("b", "a")))
    assert found.index.tolist() == ["b"]
    assert found.loc["b", "action"] == "merge"
    assert found.loc["b", "reason"] == "near-duplicate of a (strength 0.80)"
    assert found.loc["b", "split"] == "val"


def test_near_duplicates_with_several_labels_are_both_checked():
    selected = selection(("a", "1", "1", "nv", "val"), ("b", "2", "2", "mel", "val"))
    found = listed(selected, links(("a", "b")))
    assert found["action"].to_dict() == {"a": "check", "b": "check"}
    assert found.loc["a", "reason"].endswith("which is labeled mel")


def test_links_that_were_not_accepted_are_checked_with_the_other_split():
    selected = selection(("a", "1", "1", "nv", "val"), ("b", "2", "2", "nv", "test"))
    found = listed(selected, links(("a", "b"), same_group=False))
    reason = "possible near-duplicate of b (strength 0.80), not in the same group, but in test"
    assert found.loc["a", "reason"] == reason
    assert found["action"].tolist() == ["check", "check"]


def test_lesion_with_several_labels_is_checked():
    selected = selection(
        ("a", "1", "1", "nv", "val"),
        ("b", "2", "2", "mel", "val"),
        ("c", "3", "3", "nv", "val"),
        lesion_id=["7", "7", None],
    )
    found = listed(selected)
    assert found["action"].to_dict() == {"a": "check", "b": "check"}
    assert "b of the same lesion (7) is labeled mel" in found.loc["a", "reason"]


def test_unreadable_files_are_dropped_and_files_without_label_are_checked():
    quarantine = pd.DataFrame({"file": ["x", "y"], "reason": ["truncated", NO_LABEL]})
    found = listed(selection(("a", "1", "1", "nv", "train")), quarantine=quarantine)
    assert found["action"].to_dict() == {"x": "drop", "y": "check"}
    assert found["reason"].to_dict() == {"x": "unreadable: truncated", "y": NO_LABEL}


def test_suspicious_images_are_checked_unless_they_are_dropped():
    selected = selection(
        ("a", "1", "1", "nv", "train"), ("b", "1", "1", "nv", None), related_file=[None, "a"]
    )
    fault = QualityFault("dark", "Nearly black images", "nearly black", ["a", "b"], ["gray 3"] * 2)
    found = listed(selected, faults=[fault])
    assert found["reason"].to_dict() == {
        "a": "suspicious: nearly black (gray 3)",
        "b": "exact duplicate of a",
    }


def test_reasons_of_a_file_are_joined_and_the_strongest_action_counts():
    selected = selection(
        ("a", "1", "1", "nv", "val"), ("b", "2", "2", "nv", "val"), ("c", "3", "3", "mel", "val")
    )
    image_links = pd.concat([links(("a", "b"), strength=0.9), links(("b", "c"), strength=0.5)])
    found = listed(selected, image_links)
    assert found.loc["b", "action"] == "check"
    assert found.loc["b", "related_file"] == "c"
    first, second = found.loc["b", "reason"].split("; ")
    assert first.startswith("conflicting labels")
    assert second == "near-duplicate of a (strength 0.90)"


def test_many_reasons_are_counted():
    rows = [(f"{i}", f"{i}", f"{i}", "nv", "val") for i in range(6)]
    pairs = [("5", f"{i}") for i in range(5)]
    reason = listed(selection(*rows), links(*pairs)).loc["5", "reason"]
    assert reason.count("near-duplicate of") == 3
    assert reason.endswith("; and 2 more")


@pytest.mark.parametrize("seed", range(3))
def test_list_is_sorted_by_action_and_file_in_any_order_of_the_rows(seed):
    rows = [
        ("a", "1", "1", "nv", "val"),
        ("b", "2", "2", "nv", "val"),
        ("c", "1", "1", "nv", None),
        ("d", "3", "3", "mel", None),
        ("e", "3", "3", "nv", None),
    ]
    selected = selection(*rows, related_file=[None, None, "a", None, None])
    shuffled = selected.sample(frac=1, random_state=seed).sort_values("file")
    found = listed(shuffled, links(("a", "b")))
    assert found["action"].to_dict() == {"c": "drop", "d": "check", "e": "check", "b": "merge"}
    assert found.index.tolist() == ["c", "d", "e", "b"]
