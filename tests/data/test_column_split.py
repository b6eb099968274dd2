import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.config.split import Split
from skin_lesions.core.errors import InputError
from skin_lesions.data.column_split import divide_by_column
from skin_lesions.data.groups import group_images
from skin_lesions.data.splits import split_images
from support.factories import SPLIT


def table(hospitals, **columns):
    n = len(hospitals)
    names = [f"{i}.jpg" for i in range(n)]
    values = {
        "file": names,
        "image_id": names,
        "label": np.array(["nv", "mel"])[np.arange(n) % 2],
        "original_split": None,
        "hospital": hospitals,
    }
    return pd.DataFrame(values | columns, dtype=object)


def split_by(images, values, column="hospital"):
    split = SPLIT.model_copy(
        update={"policy": "by_column", "column": column, "test_values": tuple(values)}
    )
    groups, links = group_images(images)
    return split_images(images, groups, links, split)


def test_images_of_the_left_out_hospital_are_the_test_images():
    images = table(["a"] * 20 + ["b"] * 6 + ["c"] * 4)
    found = split_by(images, ["b", "c"]).merge(images[["file", "hospital"]], on="file")
    assert len(found) == 30
    assert set(found.loc[found["split"] == "test", "hospital"]) == {"b", "c"}
    assert set(found.loc[found["split"] != "test", "hospital"]) == {"a"}
    assert set(found["split"]) == {"train", "val", "test"}


def test_groups_with_images_in_both_parts_are_left_out_completely_and_counted():
    patients = [f"p{i}" for i in range(26)]
    patients[0] = patients[1] = patients[20] = "both"
    images = table(["a"] * 20 + ["b"] * 6, patient_id=patients)
    found = split_by(images, ["b"])
    assert not {"0.jpg", "1.jpg", "20.jpg"} & set(found["file"])
    assert len(found) == 23
    division = divide_by_column(images.assign(group_id=patients), "hospital", ["b"])
    assert (division.spanning_groups, division.spanning_files) == (1, 3)


def test_exact_duplicate_in_both_parts_is_left_out():
    images = table(["a"] * 20 + ["b"] * 6)
    images.loc[20, "image_id"] = images.loc[0, "image_id"]
    found = split_by(images, ["b"])
    assert not {"0.jpg", "20.jpg"} & set(found["file"])


def test_images_without_a_value_are_left_out_and_counted():
    images = table(["a"] * 20 + ["b"] * 6 + [None, "unknown"])
    assert len(split_by(images, ["b"])) == 26
    division = divide_by_column(images.assign(group_id=images["file"]), "hospital", ["b"])
    assert division.missing_files == 2
    assert division.spanning_groups == 0


def test_numbers_are_compared_as_numbers():
    images = table([1.0] * 20 + [2.0] * 6)
    assert (split_by(images, ["2"])["split"] == "test").sum() == 6


@given(
    hospitals=st.lists(st.sampled_from("abc"), min_size=2, max_size=30),
    groups=st.lists(st.integers(0, 9), min_size=30, max_size=30),
)
def test_no_group_is_in_both_parts(hospitals, groups):
    images = pd.DataFrame({"hospital": hospitals, "group_id": groups[: len(hospitals)]})
    if set(hospitals) == {"b"} or "b" not in hospitals:
        return
    found = divide_by_column(images, "hospital", ["b"])
    kept = images[~found.is_excluded].assign(is_test=found.is_test[~found.is_excluded])
    assert kept.groupby("group_id")["is_test"].nunique().le(1).all()
    excluded = images.loc[found.is_excluded, "group_id"]
    both = images.assign(t=images["hospital"] == "b").groupby("group_id")["t"].nunique().eq(2)
    assert set(excluded) == set(both.index[both])


def test_unknown_column_and_value_are_reported_with_the_known_ones():
    images = table(["a"] * 20 + ["b"] * 6)
    with pytest.raises(InputError, match="hospitl.*did you mean hospital"):
        split_by(images, ["b"], column="hospitl")
    with pytest.raises(InputError, match=r"\(z\). Expected some of: a \(20\), b \(6\)"):
        split_by(images, ["b", "z"])
    with pytest.raises(InputError, match="none is left for the training"):
        split_by(images, ["a", "b"])


def test_class_of_only_the_left_out_hospital_is_reported():
    labels = ["nv", "mel"] * 10 + ["df"] * 6
    with pytest.raises(InputError, match="All images of 'df' have one of split.test_values"):
        split_by(table(["a"] * 20 + ["b"] * 6, label=labels), ["b"])


def test_column_and_values_belong_to_the_policy():
    values = SPLIT.model_dump()
    with pytest.raises(ValueError, match="requires column"):
        Split.model_validate(values | {"policy": "by_column"})
    with pytest.raises(ValueError, match="requires test_values"):
        Split.model_validate(values | {"policy": "by_column", "column": "source"})
    with pytest.raises(ValueError, match="column is set, but policy grouped does not use it"):
        Split.model_validate(values | {"column": "source"})
    given = {"policy": "by_column", "column": "source", "test_values": {"1": 7, "0": "a"}}
    assert Split.model_validate(values | given).test_values == ("a", "7")
