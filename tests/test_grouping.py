import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.grouping import group_images


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
    assert groups["evidence"].tolist() == ["lesion_id", "", "lesion_id"]


def test_groups_join_through_a_file_that_shares_one_key_with_each_side():
    groups, _ = group_images(
        table(lesion_id=["a", "a", None], patient_id=[None, "p", "p"], name_key=[None] * 3)
    )
    assert groups["group_id"].nunique() == 1
    assert set(groups["evidence"]) == {"lesion_id+patient_id"}


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
        **dict(zip(["lesion_id", "patient_id", "name_key"], zip(*rows, strict=True), strict=True))
    )
    grouped = image_table.assign(group_id=groups_of(image_table))
    for column in ["lesion_id", "patient_id", "name_key"]:
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
    assert groups["evidence"].tolist() == ["lesion_id+changed copy"] * 2 + [
        "",
        "lesion_id+changed copy",
    ]
    assert links[["kind", "strength", "joined"]].to_numpy().tolist() == [
        ["lesion_id", 1.0, True],
        ["changed copy", 0.6, True],
    ]


def test_one_weak_pair_does_not_merge_two_large_groups_but_is_listed():
    image_table = table(lesion_id=["a"] * 6 + ["b"] * 6)
    copies = pd.DataFrame({"a": [0], "b": [6], "kind": "changed", "strength": 0.6})
    groups, links = group_images(image_table, copies)
    assert groups["group_id"].nunique() == 2
    assert links.loc[links["kind"] == "changed copy", "joined"].tolist() == [False]
