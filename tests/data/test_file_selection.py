import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from skin_lesions.config.split import SplitFractions
from skin_lesions.core.errors import InputError
from skin_lesions.data.file_selection import retained_pairs, select_files
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS, group_images
from skin_lesions.data.splits import split_images
from support.factories import SPLIT

CHANGED = NEAR_DUPLICATE_KINDS["changed"]
NO_LINKS = pd.DataFrame(columns=["file_a", "file_b", "kind", "strength", "same_group"])


def study(rows):
    """Make the tables of a study from rows (file, image_id, pixel_id, label, group_id, split)."""
    columns = ["file", "image_id", "pixel_id", "label", "group_id", "split"]
    table = pd.DataFrame(rows, columns=columns)
    split = table.loc[table["split"].notna(), ["file", "split", "group_id"]]
    return table[["file", "image_id", "label"]], table[["file", "pixel_id", "group_id"]], split


def links(*pairs, kind=CHANGED, strength=0.5, same_group=False):
    table = pd.DataFrame(pairs, columns=["file_a", "file_b"])
    return table.assign(kind=kind, strength=strength, same_group=same_group)


def selected(rows, image_links=NO_LINKS):
    table, groups, split = study(rows)
    found = select_files(table, groups, image_links, split)
    return found.set_index("file")


def splits(found):
    return found["split"].dropna().to_dict()


OTHERS = [(f"o{i}", f"o{i}", f"o{i}", "nv", f"go{i}", "train") for i in range(3)]


def test_file_of_the_split_table_is_retained_among_exact_duplicates():
    found = selected(
        [
            ("a", "1", "1", "nv", "g", None),
            ("b", "1", "1", "nv", "g", "train"),
        ]
    )
    assert splits(found) == {"b": "train"}
    assert found.loc["a", "related_file"] == "b"
    assert found.loc["b", "related_file"] is None


def test_first_file_is_retained_among_images_with_identical_pixels():
    found = selected(
        [
            ("c", "3", "1", "nv", "g", "train"),
            ("b", "2", "1", "nv", "g", "train"),
            ("a", "1", "1", "nv", "g", None),
        ]
    )
    assert splits(found) == {"b": "train"}
    assert found["related_file"].dropna().to_dict() == {"a": "b", "c": "b"}


def test_test_file_is_retained_among_duplicates_in_several_splits():
    found = selected(
        [
            ("a", "1", "1", "nv", "g", "train"),
            ("b", "1", "1", "nv", "g", "val"),
            ("c", "1", "1", "nv", "g", "test"),
            *OTHERS,
        ]
    )
    assert splits(found)["c"] == "test"
    assert found.loc[["a", "b"], "split"].isna().all()


def test_images_with_conflicting_labels_are_left_out():
    found = selected(
        [
            ("a", "1", "1", "nv", "g", "train"),
            ("b", "2", "1", "mel", "g", "train"),
            ("c", "3", "3", "nv", "h", "train"),
            ("d", "4", "4", "mel", "i", "train"),
        ]
    )
    assert splits(found) == {"c": "train", "d": "train"}


def test_related_images_stay_in_the_first_of_test_val_and_train():
    found = selected(
        [
            ("a", "1", "1", "nv", "g", "train"),
            ("b", "2", "2", "nv", "g", "test"),
            ("c", "3", "3", "nv", "g", "val"),
            ("d", "4", "4", "nv", "h", "train"),
            ("e", "5", "5", "nv", "h", "val"),
            *OTHERS,
        ]
    )
    kept = {name: split for name, split in splits(found).items() if name[0] != "o"}
    assert kept == {"b": "test", "e": "val"}
    assert found["related_file"].dropna().to_dict() == {"a": "b", "c": "b", "d": "e"}


def test_links_that_suffice_without_the_left_out_images_cause_no_leak():
    """Two pairs of identical pixels are groups of two; the single image of each would be merged."""
    rows = [
        ("a", "1", "1", "nv", "g", "train"),
        ("b", "2", "1", "nv", "g", "train"),
        ("c", "3", "3", "nv", "h", "test"),
        ("d", "4", "3", "nv", "h", "test"),
        *OTHERS,
    ]
    found = selected(rows, links(("a", "c")))
    assert "a" not in splits(found)
    assert found.loc["a", "related_file"] == "c"
    assert splits(selected(rows))["a"] == "train"


def test_class_that_loses_all_train_images_is_an_error():
    with pytest.raises(InputError, match=r"no train image of 'mel'.*split.policy=grouped"):
        selected(
            [
                ("a", "1", "1", "mel", "g", "train"),
                ("b", "2", "2", "mel", "g", "test"),
                *OTHERS,
            ]
        )


def test_tables_of_different_audits_are_rejected():
    table, groups, split = study(OTHERS)
    with pytest.raises(InputError, match=r"different groups for 3 files, e.g. o0"):
        select_files(table, groups, NO_LINKS, split.assign(group_id="other"))


def test_link_of_a_left_out_file_counts_for_its_retained_duplicate():
    _, groups, _ = study(
        [
            ("a", "1", "1", "nv", "g", None),
            ("b", "2", "1", "nv", "g", "train"),
            ("c", "3", "3", "nv", "h", "train"),
        ]
    )
    rows = groups.iloc[[1, 2]]
    pairs = retained_pairs(groups, rows, links(("c", "a"), strength=0.7))
    assert pairs[["a", "b", "kind", "strength"]].to_numpy().tolist() == [[0, 1, "changed", 0.7]]


def test_pairs_with_a_missing_image_and_pairs_of_one_image_are_no_pairs():
    _, groups, _ = study(
        [
            ("a", "1", "1", "nv", "g", None),
            ("b", "2", "1", "nv", "g", "train"),
            ("c", "3", "3", "nv", "h", None),
        ]
    )
    pairs = retained_pairs(groups, groups.iloc[[1]], links(("a", "b"), ("b", "c")))
    assert pairs.empty


def test_strongest_link_of_a_pair_counts():
    _, groups, _ = study([("a", "1", "1", "nv", "g", "val"), ("b", "2", "2", "nv", "h", "val")])
    both = pd.concat([links(("a", "b"), strength=0.3), links(("b", "a"), strength=0.9)])
    assert retained_pairs(groups, groups, both)["strength"].tolist() == [0.9]


@st.composite
def studies(draw):
    """Draw related images, beside enough single images of both classes for three splits."""
    n, singles = draw(st.integers(2, 16)), 12
    content = [
        *draw(st.lists(st.integers(0, n), min_size=n, max_size=n)),
        *range(100, 100 + singles),
    ]
    wrong = draw(st.sets(st.integers(0, n), max_size=1))  # files with a conflicting label
    lesions = draw(st.lists(st.sampled_from(["L1", "L2", *[None] * 6]), min_size=n, max_size=n))
    table = pd.DataFrame(
        {
            "file": [f"{i:02d}.jpg" for i in range(n + singles)],
            "image_id": [f"{number:016x}" for number in content],
            "label": [
                ["nv", "mel"][(number + (i in wrong)) % 2] for i, number in enumerate(content)
            ],
            "original_split": None,
            "lesion_id": pd.Series([*lesions, *[None] * singles], dtype=object),
        }
    )
    number = st.integers(0, len(set(content)) - 1 - singles)
    kind = st.sampled_from(["pixels", "changed", "changed"])
    pairs = draw(
        st.lists(st.tuples(number, number, kind, st.sampled_from([0.3, 0.95])), max_size=8)
    )
    near = pd.DataFrame(
        [(min(a, b), max(a, b), kind, strength) for a, b, kind, strength in pairs if a != b],
        columns=["a", "b", "kind", "strength"],
    )
    return table, near.drop_duplicates(["a", "b"]).reset_index(drop=True)


@given(studies(), st.integers(0, 3))
@settings(max_examples=60)
def test_no_group_of_the_selected_files_is_in_two_splits(drawn, seed):
    table, near = drawn
    groups, image_links = group_images(table, near)
    policy = SPLIT.model_copy(
        update={"fractions": SplitFractions(train=0.6, val=0.2, test=0.2), "seed": seed}
    )
    try:
        split = split_images(table, groups, image_links, policy)
        found = select_files(table, groups, image_links, split)
    except InputError:  # too few images for three splits
        reject()
    rows = found[found["split"].notna()].reset_index(drop=True)
    assert rows["pixel_id"].is_unique
    assert set(rows["file"]) <= set(split["file"])
    columns = ["file", "image_id", "lesion_id"]
    later, _ = group_images(rows[columns], retained_pairs(found, rows, image_links))
    for group_id in (rows["group_id"], later["group_id"]):
        assert rows.groupby(group_id)["split"].nunique().eq(1).all()
