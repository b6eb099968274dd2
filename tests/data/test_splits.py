import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.config.split import Split, SplitFractions
from skin_lesions.core.errors import InputError
from skin_lesions.data.splits import COLUMNS, split_images, stratified_group_split

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def policy(name, seed=0):
    return Split(policy=name, fractions=SplitFractions(**SHARES), seed=seed)


def images(labels, groups=None, shipped=None, ids=None, pictures=None):
    n = len(labels)
    image_table = pd.DataFrame(
        {
            "file": [f"{i:04d}.jpg" for i in range(n)],
            "image_id": ids or [f"{i:064x}" for i in range(n)],
            "label": labels,
            "original_split": shipped or [None] * n,
        }
    )
    groups = groups or list(range(n))
    image_groups = image_table[["file"]].assign(
        group_id=[f"g{g}" for g in groups], pixel_id=pictures or image_table["image_id"]
    )
    return image_table, image_groups


def test_rare_classes_get_the_same_shares_as_common_ones():
    table, groups = images(["nv"] * 200 + ["mel"] * 20)
    counts = pd.crosstab(
        *split_images(table, groups, policy("grouped"))[["label", "split"]].T.values
    )
    assert counts.loc["mel"].to_dict() == {"train": 14, "val": 3, "test": 3}
    assert counts.loc["nv"].to_dict() == {"train": 140, "val": 30, "test": 30}


def test_images_under_two_labels_are_left_out_and_copies_kept_once():
    same = ["a" * 64, "a" * 64, "b" * 64, "b" * 64]
    rest = [f"{i:064x}" for i in range(40)]
    table, groups = images(
        ["nv", "mel", "nv", "nv"] + ["nv", "mel"] * 20,
        groups=[0, 0, 1, 1, *range(2, 42)],
        ids=same + rest,
    )
    kept = split_images(table, groups, policy("grouped"))
    assert "a" * 64 not in set(kept["image_id"])
    assert (kept["image_id"] == "b" * 64).sum() == 1
    assert len(kept) == 41


@pytest.mark.parametrize("name", ["grouped", "cleaned"])
def test_equal_pixels_under_two_labels_are_left_out_and_under_one_kept(name):
    bytes_ = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]
    rest = [f"{i:064x}" for i in range(40)]
    table, groups = images(
        ["nv", "mel", "nv", "nv"] + ["nv", "mel"] * 20,
        groups=[0, 0, 1, 1, *range(2, 42)],
        shipped=["train"] * 34 + ["test"] * 10,
        ids=bytes_ + rest,
        pictures=["a" * 64, "a" * 64, "c" * 64, "c" * 64, *rest],
    )
    kept = split_images(table, groups, policy(name))
    assert set(table["image_id"]) - set(kept["image_id"]) == {"a" * 64, "b" * 64}
    assert kept.loc[kept["group_id"] == "g1", "split"].nunique() == 1


def test_as_shipped_keeps_equal_pixels_under_two_labels():
    table, groups = images(
        ["nv", "mel"] * 3,
        shipped=["train", "train", "val", "val", "test", "test"],
        pictures=["0" * 64] * 6,
    )
    assert len(split_images(table, groups, policy("original"))) == 6


def test_groups_of_an_earlier_version_are_refused_with_the_command_that_makes_them_anew():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="no column pixel_id.*--pipelines audit,preprocess"):
        split_images(table, groups.drop(columns="pixel_id"), policy("grouped"))


def test_groups_with_several_labels_are_kept_whole():
    table, groups = images(["nv", "mel"] * 20, groups=[i // 2 for i in range(40)])
    kept = split_images(table, groups, policy("grouped"))
    assert len(kept) == 40
    assert kept.groupby("group_id")["split"].nunique().eq(1).all()


def test_as_shipped_keeps_every_file_where_it_was_copies_and_conflicts_included():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel"],
        shipped=["train", "train", "val", "val", "test", "test"],
        ids=["a" * 64, "a" * 64, "b" * 64, "c" * 64, "a" * 64, "d" * 64],
        groups=[0, 0, 1, 2, 0, 3],
    )
    kept = split_images(table, groups, policy("original"))
    assert kept["split"].tolist() == table["original_split"].tolist()
    assert kept["is_leaked"].tolist() == [False, False, False, False, True, False]


def test_repaired_keeps_the_shipped_test_and_takes_what_leaks_into_it_from_train_and_val():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel", "nv", "mel", "nv"],
        shipped=["train", "train", "train", "val", "val", "test", "test", "test", "val"],
        ids=[*(c * 64 for c in "abcdefgfh")],
        groups=[0, 1, 2, 3, 0, 4, 2, 4, 4],
    )
    kept = split_images(table, groups, policy("cleaned"))
    # 2 leaks into the test and leaves; 4 shares a group with train and joins it; 7 is a copy of 5
    # in the test; 8 is a val image of a test group.
    assert dict(zip(kept["file"], kept["split"], strict=True)) == {
        "0000.jpg": "train",
        "0001.jpg": "train",
        "0003.jpg": "val",
        "0004.jpg": "train",
        "0005.jpg": "test",
        "0006.jpg": "test",
    }


def test_of_two_copies_the_tests_own_stays_in_the_repaired_split():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv"],
        shipped=["train", "train", "train", "val", "test"],
        ids=[*(c * 64 for c in "abcda")],
        groups=[0, 1, 2, 3, 0],
    )
    kept = split_images(table, groups, policy("cleaned"))
    assert kept.loc[kept["image_id"] == "a" * 64, "file"].tolist() == ["0004.jpg"]


def test_without_a_shipped_val_one_is_cut_from_train_by_groups():
    n = 60
    table, groups = images(
        ["nv", "mel"] * (n // 2),
        groups=[i // 4 for i in range(n)],
        shipped=["train"] * 48 + ["test"] * 12,
    )
    kept = split_images(table, groups, policy("original"))
    assert kept["split"].tolist()[48:] == ["test"] * 12
    assert set(kept["split"][:48]) == {"train", "val"}
    assert kept.groupby("group_id")["split"].nunique().eq(1).all()


def test_as_shipped_without_a_test_is_an_error_that_names_the_way_out():
    table, groups = images(["nv", "mel"], shipped=["train", "train"])
    with pytest.raises(InputError, match=r"no test.*split\.policy=grouped"):
        split_images(table, groups, policy("original"))


def test_one_class_is_an_error():
    with pytest.raises(InputError, match="one class only \\('nv'\\)"):
        split_images(*images(["nv"] * 30), policy("grouped"))


def test_a_class_that_is_only_tested_is_an_error_that_names_it():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "Mel "], shipped=["train", "train", "val", "val", "test"]
    )
    with pytest.raises(InputError, match="'Mel '.*did you mean 'mel'"):
        split_images(table, groups, policy("original"))


def test_groups_of_another_table_are_refused():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="image_groups"):
        split_images(table, groups.iloc[:-1], policy("grouped"))


def test_all_images_in_one_group_can_not_be_divided():
    table, groups = images(["nv", "mel"] * 5, groups=[0] * 10)
    with pytest.raises(InputError, match="10 images in 1 group are too few to divide"):
        split_images(table, groups, policy("grouped"))


def test_a_class_of_one_image_goes_to_train():
    table, groups = images(["nv"] * 40 + ["mel"] * 40 + ["rare"])
    kept = split_images(table, groups, policy("grouped"))
    assert kept.loc[kept["label"] == "rare", "split"].tolist() == ["train"]


def test_another_seed_gives_another_split():
    table, groups = images(["nv", "mel"] * 50)
    first, second = (split_images(table, groups, policy("grouped", seed)) for seed in (0, 1))
    assert not first["split"].equals(second["split"])


rows = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from(["nv", "mel", "bcc"])), min_size=1, max_size=80
)


@given(rows=rows, seed=st.integers(0, 2**32 - 1), shuffle=st.integers(0, 99))
def test_no_group_is_torn_and_the_order_of_rows_does_not_matter(rows, seed, shuffle):
    table = pd.DataFrame(rows, columns=["group_id", "label"])
    split = table.assign(split=stratified_group_split(table, SHARES, seed))
    assert split.groupby("group_id")["split"].nunique().eq(1).all()
    assert split["split"].isin(SHARES).all()
    shuffled = table.sample(frac=1, random_state=shuffle)
    again = shuffled.assign(split=stratified_group_split(shuffled, SHARES, seed)).sort_index()
    pd.testing.assert_frame_equal(again, split)


@given(sizes=st.lists(st.integers(1, 6), min_size=20, max_size=60), seed=st.integers(0, 999))
def test_shares_are_met_as_closely_as_the_largest_group_allows(sizes, seed):
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    table = pd.DataFrame({"group_id": groups, "label": "nv"})
    counts = stratified_group_split(table, SHARES, seed).value_counts()
    for name, share in SHARES.items():
        assert abs(counts.get(name, 0) - share * len(table)) <= max(sizes)


shipped_rows = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["nv", "mel"]),
        st.sampled_from(["train", "val", "test"]),
        st.integers(0, 25),  # image; three of them are one picture
    ),
    min_size=8,
    max_size=60,
)


@given(rows=shipped_rows)
def test_a_repaired_split_has_a_clean_subset_of_the_shipped_test(rows):
    group_of = {image // 3: group for group, _, _, image in rows}  # equal pixels: one group
    table, groups = images(
        [label for _, label, _, _ in rows],
        groups=[group_of[image // 3] for *_, image in rows],
        shipped=[split for _, _, split, _ in rows],
        ids=[f"{image:064x}" for *_, image in rows],
        pictures=[f"{image // 3:064x}" for *_, image in rows],
    )
    try:
        kept = split_images(table, groups, policy("cleaned"))
    except InputError:
        return  # nothing left to divide, which other tests look at
    assert kept.groupby("group_id")["split"].nunique().eq(1).all()
    assert not kept["image_id"].duplicated().any()
    assert (kept["split"].eq("test") == kept["original_split"].eq("test")).all()
    picture = groups["pixel_id"]
    usable = table[table.groupby(picture)["label"].transform("nunique") == 1]
    tested = set(usable.loc[usable["original_split"] == "test", "image_id"])
    assert set(kept.loc[kept["split"] == "test", "image_id"]) == tested


@given(rows=rows, alike=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_usable_image_is_in_exactly_one_split(rows, alike, seed):
    pictures = [f"{i // alike:064x}" for i in range(len(rows))]
    group_of = dict(zip(pictures, [group for group, _ in rows], strict=True))
    table, groups = images(
        [label for _, label in rows], groups=[group_of[p] for p in pictures], pictures=pictures
    )
    labels = table.groupby(pictures)["label"].agg(set)
    usable = table[[len(labels[picture]) == 1 for picture in pictures]]
    try:
        kept = split_images(table, groups, policy("grouped", seed))
    except InputError:
        return  # too few groups or classes, which other tests look at
    assert list(kept.columns) == COLUMNS
    assert sorted(kept["file"]) == sorted(usable["file"])
