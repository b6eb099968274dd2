import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import (
    across_splits,
    add_groups,
    attach_file_columns,
    group_images,
    link_values,
)
from skin_lesions.data.missing_values import MISSING_VALUES


def table(**columns):
    n = len(next(iter(columns.values())))
    unique = {"file": [f"{i}.jpg" for i in range(n)], "image_id": [f"{i:016x}" for i in range(n)]}
    return pd.DataFrame(unique | columns)


def group_ids(image_table):
    return group_images(image_table)[0]["group_id"].tolist()


def test_images_of_one_lesion_are_one_group_with_its_link_type():
    groups, _ = group_images(table(lesion_id=["a", "b", "a"]))
    assert groups["group_id"].nunique() == 2
    assert groups["group_id"][0] == groups["group_id"][2]
    assert groups["link_types"].tolist() == ["lesion_id", "", "lesion_id"]


def test_groups_are_merged_by_a_file_with_keys_of_both():
    groups, _ = group_images(
        table(lesion_id=["a", "a", None], patient_id=[None, "p", "p"], filename_key=[None] * 3)
    )
    assert groups["group_id"].nunique() == 1
    assert set(groups["link_types"]) == {"lesion_id+patient_id"}


@pytest.mark.parametrize("column", ["lesion_id", "patient_id", "filename_key"])
@pytest.mark.parametrize(
    "missing",
    [None, np.nan, pd.NA, pd.NaT, "", "  ", "unknown", "UNK", " N/A ", *sorted(MISSING_VALUES)],
)
def test_missing_values_link_nothing(column, missing):
    assert len(set(group_ids(table(**{column: [missing, missing]})))) == 2


@pytest.mark.parametrize("column", ["lesion_id", "patient_id"])
@pytest.mark.parametrize("number", [-1, 0, -1.0, 0.0, "-1", "0", "0.0"])
def test_zero_and_minus_one_are_missing_identifiers(column, number):
    assert len(set(group_ids(table(**{column: [number, number]})))) == 2


def test_zero_in_a_filename_is_a_key():
    assert len(set(group_ids(table(filename_key=["0", "0"])))) == 1


def test_the_same_lesion_number_of_two_patients_is_two_lesions():
    groups, links = group_images(
        table(lesion_id=["1", "1", "2", "1", "2"], patient_id=["a", "b", "b", "a", "a"])
    )
    assert groups["group_id"].factorize()[0].tolist() == [0, 1, 1, 0, 0]
    assert links.loc[links["kind"] == "lesion_id", ["file_a", "file_b"]].to_numpy().tolist() == [
        ["0.jpg", "3.jpg"]
    ]


def test_a_lesion_of_one_patient_includes_images_without_a_patient():
    assert len(set(group_ids(table(lesion_id=["x", "x", "x"], patient_id=["a", None, "a"])))) == 1


def test_a_lesion_number_of_several_patients_links_no_image_without_a_patient():
    values = link_values(
        table(lesion_id=["1", "1", "1", "1"], patient_id=["a", "b", None, "unknown"]), "lesion_id"
    )
    assert values.tolist() == ["a / 1", "b / 1", None, None]


def test_group_id_is_that_of_the_first_image_in_alphabetical_order():
    groups, _ = group_images(table(image_id=["b" * 64, "a" * 64, "c" * 64], lesion_id=["x"] * 3))
    assert groups["group_id"].tolist() == ["g" + "a" * 16] * 3


def test_links_are_across_splits_only_if_both_splits_are_known():
    image_table = table(lesion_id=["x"] * 4).assign(original_split=["train", "test", None, "train"])
    _, links = group_images(image_table)
    pairs = attach_file_columns(links, image_table[["file", "original_split"]])
    assert dict(zip(pairs["file_b"], across_splits(pairs), strict=True)) == {
        "1.jpg": True,
        "2.jpg": False,
        "3.jpg": False,
    }
    unknown = image_table.assign(original_split=None)
    pairs = attach_file_columns(links, unknown[["file", "original_split"]])
    assert not across_splits(pairs).any()


def test_equal_values_in_different_columns_link_nothing():
    assert len(set(group_ids(table(lesion_id=["7", None], patient_id=[None, "7"])))) == 2


def test_numbers_and_text_with_the_same_value_are_equal():
    assert len(set(group_ids(table(lesion_id=[7, "7", 7.0, "7.0"])))) == 1


def test_exact_duplicates_are_one_group_without_metadata():
    assert len(set(group_ids(table(image_id=["a" * 64, "a" * 64, "b" * 64])))) == 2


keys = st.one_of(st.none(), st.sampled_from("abcde"))


@settings(max_examples=20)
@given(
    rows=st.lists(st.tuples(keys, keys, keys), min_size=20, max_size=40), seed=st.integers(0, 99)
)
def test_files_with_equal_keys_are_one_group_in_any_row_order(rows, seed):
    image_table = table(
        lesion_id=[lesion and f"{patient} {lesion}" for lesion, patient, _ in rows],
        patient_id=[patient for _, patient, _ in rows],
        filename_key=[key for *_, key in rows],
    )
    grouped = image_table.assign(group_id=group_ids(image_table))
    for column in ["lesion_id", "patient_id", "filename_key"]:
        assert grouped.dropna(subset=column).groupby(column)["group_id"].nunique().le(1).all()
    shuffled = image_table.sample(frac=1, random_state=seed)
    again = shuffled.assign(group_id=group_ids(shuffled)).sort_index()
    pd.testing.assert_frame_equal(again, grouped)


@settings(max_examples=20)
@given(rows=st.lists(st.tuples(keys, keys), min_size=8, max_size=16))
def test_groups_are_the_connected_components_of_equal_keys(rows):
    image_table = table(filename_key=[a for a, _ in rows], patient_id=[b for _, b in rows])
    labels = group_ids(image_table)
    linked = np.array(
        [
            [
                i == j
                or any(x is not None and x == y for x, y in zip(rows[i], rows[j], strict=True))
                for j in range(len(rows))
            ]
            for i in range(len(rows))
        ]
    )
    reachable = np.linalg.matrix_power(linked.astype(object), len(rows)) > 0
    for i in range(len(rows)):
        for j in range(len(rows)):
            assert (labels[i] == labels[j]) == reachable[i, j]


def test_near_duplicates_merge_groups_and_are_listed_as_link_type():
    image_table = table(lesion_id=["a", "a", "b", None])
    near_duplicates = pd.DataFrame({"a": [1], "b": [3], "kind": "changed", "strength": 0.6})
    groups, links = group_images(image_table, near_duplicates)
    assert groups["group_id"].nunique() == 2
    assert groups["link_types"].tolist() == ["lesion_id+near_duplicate_transformed"] * 2 + [
        "",
        "lesion_id+near_duplicate_transformed",
    ]
    assert links[["kind", "strength", "same_group"]].to_numpy().tolist() == [
        ["lesion_id", 1.0, True],
        ["near_duplicate_transformed", 0.6, True],
    ]


def test_one_weak_pair_is_listed_but_does_not_merge_two_large_groups():
    image_table = table(lesion_id=["a"] * 6 + ["b"] * 6)
    near_duplicates = pd.DataFrame({"a": [0], "b": [6], "kind": "changed", "strength": 0.6})
    groups, links = group_images(image_table, near_duplicates)
    assert groups["group_id"].nunique() == 2
    assert links.loc[links["kind"] == "near_duplicate_transformed", "same_group"].tolist() == [
        False
    ]


def pixel_ids(image_id, pairs):
    """Return pixel_id of each file.

    Args:
        image_id: The image_id of each file.
        pairs: (a, b, kind); a and b are indices of distinct image_ids, in order of the first file.
    """
    pairs = pd.DataFrame(pairs, columns=["a", "b", "kind"]).assign(strength=1.0)
    return group_images(table(image_id=image_id), pairs)[0]["pixel_id"].tolist()


def test_pixel_id_is_the_first_image_id_with_the_same_pixels():
    pairs = [(0, 1, "pixels"), (0, 2, "pixels"), (3, 4, "simple"), (4, 5, "changed")]
    assert pixel_ids(["c", "d", "b", "x", "y", "z", "d"], pairs) == [*"bbbxyzb"]


def test_without_near_duplicates_pixel_id_equals_image_id():
    groups, _ = group_images(table(image_id=["b", "a", "b"]))
    assert groups["pixel_id"].tolist() == ["b", "a", "b"]


@settings(max_examples=30)
@given(
    image_id=st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=20),
    pairs=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from(["pixels", "simple"])),
        max_size=6,
    ),
)
def test_pixel_ids_are_equal_only_for_images_linked_by_identical_pixels(image_id, pairs):
    distinct = list(dict.fromkeys(image_id))
    pairs = [(a, b, kind) for a, b, kind in pairs if a < b < len(distinct)]
    reachable = np.eye(len(distinct), dtype=object)
    for a, b, kind in pairs:
        reachable[a, b] = reachable[b, a] = kind == "pixels"
    reachable = np.linalg.matrix_power(reachable, len(distinct)) > 0
    first = [min(distinct[j] for j in np.flatnonzero(row)) for row in reachable]
    expected = dict(zip(distinct, first, strict=True))
    pairs = list(
        {(a, b): (a, b, kind) for a, b, kind in pairs}.values()
    )  # the last of equal pairs counts, as above
    assert pixel_ids(image_id, pairs) == [expected[i] for i in image_id]


def test_add_groups_matches_by_file_and_keeps_the_rows_unchanged():
    image_table = table(lesion_id=["x", "y", "x"])
    groups, _ = group_images(image_table)
    joined = add_groups(image_table[::-1], groups)
    pd.testing.assert_frame_equal(joined.drop(columns=["group_id", "pixel_id"]), image_table[::-1])
    assert joined["group_id"].tolist() == groups["group_id"].tolist()[::-1]


def test_groups_of_other_files_or_of_an_earlier_version_are_rejected():
    image_table = table(lesion_id=["x", "y"])
    groups, _ = group_images(image_table)
    with pytest.raises(InputError, match=r"lacks 1 files of image_table, e.g. 1.jpg"):
        add_groups(image_table, groups[:1])
    with pytest.raises(InputError, match="no column pixel_id"):
        add_groups(image_table, groups.drop(columns="pixel_id"))
