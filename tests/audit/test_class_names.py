import pandas as pd
import pytest

from skin_lesions.audit.class_names import several_names_of_one_class, unusual_class_names
from support.audit import audit_context


def context_of(labels):
    files = [f"{i}.jpg" for i in range(len(labels))]
    return audit_context(pd.DataFrame({"file": files, "image_id": files, "label": labels}))


def test_several_names_of_one_class_are_listed_with_their_files():
    labels = ["Melanoma", "melanoma", "MEL", "MEL", "nv", "1", "1.0", "Mela\u200bnoma"]
    (finding,) = several_names_of_one_class(context_of(labels))
    assert (finding.severity, finding.count) == ("high", 2)
    assert sorted(finding.examples) == [
        ["1", "1.0"],
        ["MEL", "Melanoma", "Mela\\u200bnoma", "melanoma"],
    ]
    assert finding.details["MEL"] == 2
    assert "rename the folders or the labels" in finding.recommendation


def test_subtypes_and_different_classes_have_no_finding():
    labels = ["Benign keratosis", "seborrheic keratosis", "nv", "blue nevus", "HPV+", "HPV-", "1"]
    assert several_names_of_one_class(context_of(labels)) == []
    assert unusual_class_names(context_of(labels)) == []


@pytest.mark.parametrize("name", ["nv\u200b", "\ufeffnv", "n\u00adv"])
def test_invisible_characters_in_a_class_name_are_reported(name):
    (finding,) = unusual_class_names(context_of(["mel", name]))
    assert finding.severity == "medium"
    assert "\\u" in finding.examples[0][0] or "\\x" in finding.examples[0][0]
    assert finding.examples[0][1] == "invisible characters"


@pytest.mark.parametrize("name", ["unknown", "UNK", "NA"])
def test_class_names_that_mean_unknown_are_reported(name):
    (finding,) = unusual_class_names(context_of(["mel", "nv", name]))
    assert finding.examples == [[name, "usually means an unknown class"]]
