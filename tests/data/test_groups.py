import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import add_groups, group_images


def table(**columns):
    n = len(next(iter(columns.values())))
    unique = {"file": [f"{i}.jpg" for i in range(n)], "image_id": [f"{i:016x}" for i in range(n)]}
    return pd.DataFrame(unique | columns)


def groups_of(image_table):
    return group_images(image_table)[0]["group_id"].tolist()


def test_the_same_lesion_is_one_group_and_says_why():
    groups, _ = group_images(table(lesion_id=["a", "b", "a"]))
    assert groups["group_id"].nunique() == 2
    assert groups["group_id"][0] == groups["group_id"][2]
    assert groups["link_types"].tolist() == ["lesion_id", "", "lesion_id"]


def test_groups_join_through_a_file_that_shares_one_key_with_each_side():
    groups, _ = group_images(
        table(lesion_id=["a", "a", None], patient_id=[None, "p", "p"], filename_key=[None] * 3)
    )
    assert groups["group_id"].nunique() == 1
    assert set(groups["link_types"]) == {"lesion_id+patient_id"}


def test_what_is_not_known_joins_nothing():
    for unknown in (None, np.nan, "", "  "):
        assert len(set(groups_of(table(lesion_id=[unknown, unknown])))) == 2


def test_equal_values_in_different_columns_join_nothing():
    assert len(set(groups_of(table(lesion_id=["7", None], patient_id=[None, "7"])))) == 2


def test_numbers_and_text_that_name_the_same_lesion_are_one():
    assert len(set(groups_of(table(lesion_id=[7, "7"])))) == 1


def test_a_table_without_metadata_still_groups_equal_bytes():
    assert len(set(groups_of(table(image_id=["a" * 64, "a" * 64, "b" * 64])))) == 2


keys = st.one_of(st.none(), st.sampled_from("abcde"))


@given(rows=st.lists(st.tuples(keys, keys, keys), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_sharing_a_key_means_sharing_a_group_whatever_the_order(rows, seed):
    image_table = table(
        **dict(
            zip(["lesion_id", "patient_id", "filename_key"], zip(*rows, strict=True), strict=True)
        )
    )
    grouped = image_table.assign(group_id=groups_of(image_table))
    for column in ["lesion_id", "patient_id", "filename_key"]:
        assert grouped.dropna(subset=column).groupby(column)["group_id"].nunique().le(1).all()
    shuffled = image_table.sample(frac=1, random_state=seed)
    again = shuffled.assign(group_id=groups_of(shuffled)).sort_index()
    pd.testing.assert_frame_equal(again, grouped)


@given(rows=st.lists(st.tuples(keys, keys), min_size=1, max_size=12))
def test_groups_are_no_larger_than_chains_of_shared_keys(rows):
    image_table = table(lesion_id=[a for a, _ in rows], patient_id=[b for _, b in rows])
    found = groups_of(image_table)
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
            assert (found[i] == found[j]) == reachable[i, j]


def test_copies_by_pixels_join_what_the_table_holds_apart_and_say_so():
    image_table = table(lesion_id=["a", "a", "b", None])
    copies = pd.DataFrame({"a": [1], "b": [3], "kind": "changed", "strength": 0.6})
    groups, links = group_images(image_table, copies)
    assert groups["group_id"].nunique() == 2
    assert groups["link_types"].tolist() == ["lesion_id+near_duplicate_transformed"] * 2 + [
        "",
        "lesion_id+near_duplicate_transformed",
    ]
    assert links[["kind", "strength", "same_group"]].to_numpy().tolist() == [
        ["lesion_id", 1.0, True],
        ["near_duplicate_transformed", 0.6, True],
    ]


def test_one_weak_pair_does_not_merge_two_large_groups_but_is_listed():
    image_table = table(lesion_id=["a"] * 6 + ["b"] * 6)
    copies = pd.DataFrame({"a": [0], "b": [6], "kind": "changed", "strength": 0.6})
    groups, links = group_images(image_table, copies)
    assert groups["group_id"].nunique() == 2
    assert links.loc[links["kind"] == "near_duplicate_transformed", "same_group"].tolist() == [
        False
    ]


def pictures(image_id, copies):
    """copies: (a, b, kind) of the distinct image_ids in the order of their first file."""
    pairs = pd.DataFrame(copies, columns=["a", "b", "kind"]).assign(strength=1.0)
    return group_images(table(image_id=image_id), pairs)[0]["pixel_id"].tolist()


def test_a_picture_is_named_by_the_first_of_the_image_ids_with_its_pixels():
    copies = [(0, 1, "pixels"), (0, 2, "pixels"), (3, 4, "simple"), (4, 5, "changed")]
    assert pictures(["c", "d", "b", "x", "y", "z", "d"], copies) == [*"bbbxyzb"]


def test_without_copies_each_image_is_a_picture_of_its_own():
    groups, _ = group_images(table(image_id=["b", "a", "b"]))
    assert groups["pixel_id"].tolist() == ["b", "a", "b"]


@given(
    image_id=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20),
    pairs=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from(["pixels", "simple"])),
        max_size=6,
    ),
)
def test_pictures_join_what_is_linked_by_equal_pixels_and_nothing_else(image_id, pairs):
    distinct = list(dict.fromkeys(image_id))
    pairs = [(a, b, kind) for a, b, kind in pairs if a < b < len(distinct)]
    reach = np.eye(len(distinct), dtype=object)
    for a, b, kind in pairs:
        reach[a, b] = reach[b, a] = kind == "pixels"
    reach = np.linalg.matrix_power(reach, len(distinct)) > 0
    first = [min(distinct[j] for j in np.flatnonzero(row)) for row in reach]
    expected = dict(zip(distinct, first, strict=True))
    pairs = list(
        {(a, b): (a, b, kind) for a, b, kind in pairs}.values()
    )  # the last counts, as above
    assert pictures(image_id, pairs) == [expected[i] for i in image_id]


def test_groups_join_by_file_and_keep_the_rows_as_they_are():
    image_table = table(lesion_id=["x", "y", "x"])
    groups, _ = group_images(image_table)
    joined = add_groups(image_table[::-1], groups)
    pd.testing.assert_frame_equal(joined.drop(columns=["group_id", "pixel_id"]), image_table[::-1])
    assert joined["group_id"].tolist() == groups["group_id"].tolist()[::-1]


def test_groups_of_other_files_or_of_an_earlier_version_are_refused():
    image_table = table(lesion_id=["x", "y"])
    groups, _ = group_images(image_table)
    with pytest.raises(InputError, match=r"lacks 1 files of image_table, e.g. 1.jpg"):
        add_groups(image_table, groups[:1])
    with pytest.raises(InputError, match="no column pixel_id"):
        add_groups(image_table, groups.drop(columns="pixel_id"))
