import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesions.config.split import Split, SplitFractions
from skin_lesions.core.errors import InputError
from skin_lesions.data.splits import COLUMNS, split_images, stratified_group_split

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def policy(name, seed=0):
    return Split(policy=name, fractions=SplitFractions(**FRACTIONS), seed=seed)


def images(labels, groups=None, original_split=None, ids=None, pixel_ids=None):
    n = len(labels)
    image_table = pd.DataFrame(
        {
            "file": [f"{i:04d}.jpg" for i in range(n)],
            "image_id": ids or [f"{i:064x}" for i in range(n)],
            "label": labels,
            "original_split": original_split or [None] * n,
        }
    )
    groups = groups or list(range(n))
    image_groups = image_table[["file"]].assign(
        group_id=[f"g{g}" for g in groups], pixel_id=pixel_ids or image_table["image_id"]
    )
    return image_table, image_groups


def test_rare_classes_get_the_same_fractions_as_common_ones():
    table, groups = images(["nv"] * 200 + ["mel"] * 20)
    counts = pd.crosstab(
        *split_images(table, groups, policy("grouped"))[["label", "split"]].T.values
    )
    assert counts.loc["mel"].to_dict() == {"train": 14, "val": 3, "test": 3}
    assert counts.loc["nv"].to_dict() == {"train": 140, "val": 30, "test": 30}


def test_label_conflicts_are_excluded_and_exact_duplicates_occur_once():
    same = ["a" * 64, "a" * 64, "b" * 64, "b" * 64]
    rest = [f"{i:064x}" for i in range(40)]
    table, groups = images(
        ["nv", "mel", "nv", "nv"] + ["nv", "mel"] * 20,
        groups=[0, 0, 1, 1, *range(2, 42)],
        ids=same + rest,
    )
    result = split_images(table, groups, policy("grouped"))
    assert "a" * 64 not in set(result["image_id"])
    assert (result["image_id"] == "b" * 64).sum() == 1
    assert len(result) == 41


@pytest.mark.parametrize("name", ["grouped", "cleaned"])
def test_equal_pixels_are_excluded_only_with_conflicting_labels(name):
    ids = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]
    rest = [f"{i:064x}" for i in range(40)]
    table, groups = images(
        ["nv", "mel", "nv", "nv"] + ["nv", "mel"] * 20,
        groups=[0, 0, 1, 1, *range(2, 42)],
        original_split=["train"] * 34 + ["test"] * 10,
        ids=ids + rest,
        pixel_ids=["a" * 64, "a" * 64, "c" * 64, "c" * 64, *rest],
    )
    result = split_images(table, groups, policy(name))
    assert set(table["image_id"]) - set(result["image_id"]) == {"a" * 64, "b" * 64}
    assert result.loc[result["group_id"] == "g1", "split"].nunique() == 1


def test_original_keeps_equal_pixels_with_conflicting_labels():
    table, groups = images(
        ["nv", "mel"] * 3,
        original_split=["train", "train", "val", "val", "test", "test"],
        pixel_ids=["0" * 64] * 6,
    )
    assert len(split_images(table, groups, policy("original"))) == 6


def test_groups_of_an_earlier_version_are_rejected_with_the_command_to_fix_them():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="no column pixel_id.*--pipelines audit,preprocess"):
        split_images(table, groups.drop(columns="pixel_id"), policy("grouped"))


def test_groups_with_several_labels_are_not_split():
    table, groups = images(["nv", "mel"] * 20, groups=[i // 2 for i in range(40)])
    result = split_images(table, groups, policy("grouped"))
    assert len(result) == 40
    assert result.groupby("group_id")["split"].nunique().eq(1).all()


def test_original_keeps_every_file_including_duplicates_and_label_conflicts():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel"],
        original_split=["train", "train", "val", "val", "test", "test"],
        ids=["a" * 64, "a" * 64, "b" * 64, "c" * 64, "a" * 64, "d" * 64],
        groups=[0, 0, 1, 2, 0, 3],
    )
    result = split_images(table, groups, policy("original"))
    assert result["split"].tolist() == table["original_split"].tolist()
    assert result["is_leaked"].tolist() == [False, False, False, False, True, False]


def test_cleaned_keeps_the_original_test_and_removes_leakage_from_train_and_val():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel", "nv", "mel", "nv"],
        original_split=["train", "train", "train", "val", "val", "test", "test", "test", "val"],
        ids=[*(c * 64 for c in "abcdefgfh")],
        groups=[0, 1, 2, 3, 0, 4, 2, 4, 4],
    )
    result = split_images(table, groups, policy("cleaned"))
    # 2 (train) and 8 (val) are removed, because they share a group with a test image. 7 is removed
    # as an exact duplicate of 5. 4 (val) shares a group with a train image and moves to train.
    assert dict(zip(result["file"], result["split"], strict=True)) == {
        "0000.jpg": "train",
        "0001.jpg": "train",
        "0003.jpg": "val",
        "0004.jpg": "train",
        "0005.jpg": "test",
        "0006.jpg": "test",
    }


def test_cleaned_retains_the_test_file_of_exact_duplicates():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv"],
        original_split=["train", "train", "train", "val", "test"],
        ids=[*(c * 64 for c in "abcda")],
        groups=[0, 1, 2, 3, 0],
    )
    result = split_images(table, groups, policy("cleaned"))
    assert result.loc[result["image_id"] == "a" * 64, "file"].tolist() == ["0004.jpg"]


def test_missing_val_is_split_off_from_train_by_group():
    n = 60
    table, groups = images(
        ["nv", "mel"] * (n // 2),
        groups=[i // 4 for i in range(n)],
        original_split=["train"] * 48 + ["test"] * 12,
    )
    result = split_images(table, groups, policy("original"))
    assert result["split"].tolist()[48:] == ["test"] * 12
    assert set(result["split"][:48]) == {"train", "val"}
    assert result.groupby("group_id")["split"].nunique().eq(1).all()


def test_original_without_a_test_split_is_an_error_with_a_fix():
    table, groups = images(["nv", "mel"], original_split=["train", "train"])
    with pytest.raises(InputError, match=r"no test.*split\.policy=grouped"):
        split_images(table, groups, policy("original"))


def test_one_class_is_an_error():
    with pytest.raises(InputError, match="only one class \\('nv'\\)"):
        split_images(*images(["nv"] * 30), policy("grouped"))


def test_error_for_a_class_without_train_images_contains_the_class():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "Mel "], original_split=["train", "train", "val", "val", "test"]
    )
    with pytest.raises(InputError, match="'Mel '.*did you mean 'mel'"):
        split_images(table, groups, policy("original"))


def test_groups_of_another_table_are_rejected():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="image_groups"):
        split_images(table, groups.iloc[:-1], policy("grouped"))


def test_all_images_in_one_group_is_an_error():
    table, groups = images(["nv", "mel"] * 5, groups=[0] * 10)
    with pytest.raises(InputError, match="10 images in 1 group are too few to split"):
        split_images(table, groups, policy("grouped"))


def test_a_class_with_one_image_is_placed_in_train():
    table, groups = images(["nv"] * 40 + ["mel"] * 40 + ["rare"])
    result = split_images(table, groups, policy("grouped"))
    assert result.loc[result["label"] == "rare", "split"].tolist() == ["train"]


def test_another_seed_gives_another_split():
    table, groups = images(["nv", "mel"] * 50)
    first, second = (split_images(table, groups, policy("grouped", seed)) for seed in (0, 1))
    assert not first["split"].equals(second["split"])


rows = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from(["nv", "mel", "bcc"])), min_size=1, max_size=80
)


@given(rows=rows, seed=st.integers(0, 2**32 - 1), shuffle=st.integers(0, 99))
def test_groups_are_not_split_and_row_order_has_no_effect(rows, seed, shuffle):
    table = pd.DataFrame(rows, columns=["group_id", "label"])
    split = table.assign(split=stratified_group_split(table, FRACTIONS, seed))
    assert split.groupby("group_id")["split"].nunique().eq(1).all()
    assert split["split"].isin(FRACTIONS).all()
    shuffled = table.sample(frac=1, random_state=shuffle)
    again = shuffled.assign(split=stratified_group_split(shuffled, FRACTIONS, seed)).sort_index()
    pd.testing.assert_frame_equal(again, split)


@given(sizes=st.lists(st.integers(1, 6), min_size=20, max_size=60), seed=st.integers(0, 999))
def test_split_sizes_deviate_by_at_most_the_largest_group(sizes, seed):
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    table = pd.DataFrame({"group_id": groups, "label": "nv"})
    counts = stratified_group_split(table, FRACTIONS, seed).value_counts()
    for name, fraction in FRACTIONS.items():
        assert abs(counts.get(name, 0) - fraction * len(table)) <= max(sizes)


original_rows = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["nv", "mel"]),
        st.sampled_from(["train", "val", "test"]),
        st.integers(0, 25),  # image; three of them have equal pixels
    ),
    min_size=8,
    max_size=60,
)


@given(rows=original_rows)
def test_cleaned_test_is_the_original_test_without_label_conflicts(rows):
    group_of = {image // 3: group for group, _, _, image in rows}  # equal pixels: one group
    table, groups = images(
        [label for _, label, _, _ in rows],
        groups=[group_of[image // 3] for *_, image in rows],
        original_split=[split for _, _, split, _ in rows],
        ids=[f"{image:064x}" for *_, image in rows],
        pixel_ids=[f"{image // 3:064x}" for *_, image in rows],
    )
    try:
        result = split_images(table, groups, policy("cleaned"))
    except InputError:
        return  # no images left, which is tested elsewhere
    assert result.groupby("group_id")["split"].nunique().eq(1).all()
    assert not result["image_id"].duplicated().any()
    assert (result["split"].eq("test") == result["original_split"].eq("test")).all()
    pixel_id = groups["pixel_id"]
    usable = table[table.groupby(pixel_id)["label"].transform("nunique") == 1]
    expected = set(usable.loc[usable["original_split"] == "test", "image_id"])
    assert set(result.loc[result["split"] == "test", "image_id"]) == expected


@given(rows=rows, images_per_pixel_id=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_usable_image_is_in_exactly_one_split(rows, images_per_pixel_id, seed):
    pixel_ids = [f"{i // images_per_pixel_id:064x}" for i in range(len(rows))]
    group_of = dict(zip(pixel_ids, [group for group, _ in rows], strict=True))
    table, groups = images(
        [label for _, label in rows], groups=[group_of[p] for p in pixel_ids], pixel_ids=pixel_ids
    )
    labels = table.groupby(pixel_ids)["label"].agg(set)
    usable = table[[len(labels[pixel_id]) == 1 for pixel_id in pixel_ids]]
    try:
        result = split_images(table, groups, policy("grouped", seed))
    except InputError:
        return  # too few groups or classes, which is tested elsewhere
    assert list(result.columns) == COLUMNS
    assert sorted(result["file"]) == sorted(usable["file"])
