import pandas as pd
import pytest

from skin_lesions.audit.identifiers import (
    identifiers_of_several_patients,
    large_groups,
    placeholder_identifiers,
)
from support.audit import audit_context


def context_of(files=100, **columns):
    """Make a context of single images; columns list the values of the first files."""
    names = [f"{i:019d}.jpg" for i in range(files)]
    table = pd.DataFrame({"file": names, "image_id": names, "label": "nv"})
    for column, values in columns.items():
        table[column] = [*values, *[None] * (files - len(values))]
    table["image_id"] = [f"{i:016x}" for i in range(files)]
    return audit_context(table)


def test_zero_and_minus_one_are_reported_with_column_value_and_files():
    context = context_of(lesion_id=["0", "0", "1", "-1.0"], patient_id=["P0", None, "0.0", "2"])
    (finding,) = placeholder_identifiers(context)
    assert finding.details == {"lesion_id 0": 2, "lesion_id -1": 1, "patient_id 0": 1}
    assert "lesion_id 0 (2 files)" in finding.message


def test_a_lesion_of_several_patients_is_reported_with_its_value():
    context = context_of(lesion_id=["1", "1", "1", "2", "2"], patient_id=["a", "b", "c", "a", "a"])
    (finding,) = identifiers_of_several_patients(context)
    assert finding.severity == "low"
    assert finding.message.endswith("1 value, e.g. lesion_id '1' of 3 patients.")
    assert finding.examples == [["lesion_id", "1", "3 patients"]]


def test_a_filename_key_of_several_patients_is_more_severe():
    context = context_of(filename_key=["x", "x"], patient_id=["a", "b"])
    (finding,) = identifiers_of_several_patients(context)
    assert (finding.severity, finding.examples) == ("medium", [["filename_key", "x", "2 patients"]])


@pytest.mark.parametrize(
    "columns",
    [
        {"lesion_id": ["1", "1", "2"], "patient_id": ["a", "a", "a"]},
        {"lesion_id": ["1", "1"], "patient_id": ["a", None]},
        {"lesion_id": ["0", "0", "UNK", "UNK"], "patient_id": ["a", "b", "a", "b"]},
        {"lesion_id": ["1", "1"]},
    ],
)
def test_identifiers_of_one_patient_have_no_finding(columns):
    assert identifiers_of_several_patients(context_of(**columns)) == []


@pytest.mark.parametrize("column", ["lesion_id", "patient_id", "filename_key"])
def test_a_large_group_is_reported_with_the_column_and_value_that_link_it(column):
    context = context_of(200, **{column: ["stranger"] * 21})
    (finding,) = large_groups(context)
    assert finding.severity == "medium"
    assert f"21 of 200 images, linked by {column} 'stranger' (21 files)" in finding.message
    assert finding.details == {"groups": 1, "largest": 21, "fraction": 21 / 200}


def test_a_large_group_of_near_duplicates_is_reported_as_such():
    table = context_of(100, lesion_id=[f"lesion{i}" for i in range(100)]).image_table
    pairs = [(a, b) for a in range(21) for b in range(a + 1, 21)]
    near_duplicates = pd.DataFrame(pairs, columns=["a", "b"]).assign(kind="simple", strength=0.9)
    (finding,) = large_groups(audit_context(table, near_duplicates))
    assert finding.examples[0][0] == "near-duplicates"


@pytest.mark.parametrize(("files", "size"), [(100, 20), (2000, 40)])
def test_a_group_of_at_most_20_images_or_2_percent_has_no_finding(files, size):
    assert large_groups(context_of(files, patient_id=["a"] * size)) == []
    assert large_groups(context_of(files, patient_id=["a"] * (size + 1))) != []


def test_exact_duplicates_count_as_one_image():
    table = context_of(100).image_table
    table["image_id"] = ["same"] * 30 + table["image_id"].tolist()[30:]
    assert large_groups(audit_context(table)) == []
