import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesions.config.split import Split, SplitFractions
from skin_lesions.core.errors import InputError
from skin_lesions.data.splits import COLUMNS, split_images, stratified_group_split

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def links(*pairs, same_group=False):
    """Return image_links with links of these pairs of files."""
    table = pd.DataFrame(list(pairs), columns=["file_a", "file_b"])
    return table.assign(kind="near_duplicate_transformed", strength=0.5, same_group=same_group)


NO_LINKS = links()


def policy(name, seed=0, *, exclude_uncertain_links=False):
    return Split(
        policy=name,
        column=None,
        test_values=None,
        fractions=SplitFractions(**FRACTIONS),
        seed=seed,
        exclude_uncertain_links=exclude_uncertain_links,
    )


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
        *split_images(table, groups, NO_LINKS, policy("grouped"))[["label", "split"]].T.values
    )
    assert counts.loc["mel"].to_dict() == {"train": 14, "val": 3, "test": 3}
    assert counts.loc["nv"].to_dict() == {"train": 140, "val": 30, "test": 30}


def split_of_groups(groups, fractions=FRACTIONS, seed=0):
    """Split groups of (label, images) pairs; return the group, label and split of each image."""
    rows = [
        (number, label)
        for number, group in enumerate(groups)
        for label, images in group
        for _ in range(images)
    ]
    table = pd.DataFrame(rows, columns=["group_id", "label"])
    return table.assign(split=stratified_group_split(table, fractions, seed))


@pytest.mark.parametrize(
    "fractions",
    [
        FRACTIONS,
        {"train": 0.8, "val": 0.1, "test": 0.1},
        {"train": 0.34, "val": 0.33, "test": 0.33},
        {"train": 0.5, "val": 0.2, "test": 0.3},
        {"train": 0.1, "val": 0.2, "test": 0.7},
        {"train": 1 - 0.15 / 0.85, "val": 0.15 / 0.85},  # as for a val split taken from train
        {"train": 0.9, "val": 0.1},
    ],
    ids=str,
)
def test_a_class_of_few_groups_is_in_the_first_splits(fractions):
    """A class of g groups is in the first min(g, splits) splits, whatever the group size."""
    classes = {f"{g} of {size}": (g, size) for g in (1, 2, 3, 4) for size in range(1, 51)}
    groups = [[(label, size)] for label, (g, size) in classes.items() for _ in range(g)]
    table = split_of_groups(groups, fractions)
    splits = table.groupby("label")["split"].unique()
    for label, (g, _) in classes.items():
        assert set(splits[label]) == set(list(fractions)[:g]), label


def test_each_class_is_in_train_although_all_its_groups_have_other_classes_too():
    common = [[("nv", 30)] for _ in range(20)]
    for seed in range(20):
        table = split_of_groups(
            [*common, [("nv", 3), ("mel", 1)], [("nv", 2), ("bcc", 1)]], seed=seed
        )
        assert set(table.loc[table["split"] == "train", "label"]) == {"nv", "mel", "bcc"}


def test_large_groups_are_distributed_like_small_ones():
    table = split_of_groups([[("nv", 10)]] * 10 + [[("nv", 1)]] * 100)
    large = table.loc[table["group_id"] < 10].drop_duplicates("group_id")
    assert large["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}


def test_a_rare_class_is_balanced_in_groups_dominated_by_a_common_class():
    for seed in range(10):
        sizes = np.random.default_rng(seed).integers(5, 16, 40)
        groups = [[("nv", size), ("mel", number % 2)] for number, size in enumerate(sizes)]
        table = split_of_groups(groups, seed=seed)
        counts = table.loc[table["label"] == "mel", "split"].value_counts()
        for name, fraction in FRACTIONS.items():
            assert abs(counts[name] - 20 * fraction) <= 1


def test_label_conflicts_are_excluded_and_exact_duplicates_occur_once():
    same = ["a" * 64, "a" * 64, "b" * 64, "b" * 64]
    rest = [f"{i:064x}" for i in range(40)]
    table, groups = images(
        ["nv", "mel", "nv", "nv"] + ["nv", "mel"] * 20,
        groups=[0, 0, 1, 1, *range(2, 42)],
        ids=same + rest,
    )
    result = split_images(table, groups, NO_LINKS, policy("grouped"))
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
    result = split_images(table, groups, NO_LINKS, policy(name))
    assert set(table["image_id"]) - set(result["image_id"]) == {"a" * 64, "b" * 64}
    assert result.loc[result["group_id"] == "g1", "split"].nunique() == 1


def test_original_keeps_equal_pixels_with_conflicting_labels():
    table, groups = images(
        ["nv", "mel"] * 3,
        original_split=["train", "train", "val", "val", "test", "test"],
        pixel_ids=["0" * 64] * 6,
    )
    assert len(split_images(table, groups, NO_LINKS, policy("original"))) == 6


def test_groups_of_an_earlier_version_are_rejected_with_the_command_to_fix_them():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="no column pixel_id.*--pipelines audit,preprocess"):
        split_images(table, groups.drop(columns="pixel_id"), NO_LINKS, policy("grouped"))


def test_groups_with_several_labels_are_not_split():
    table, groups = images(["nv", "mel"] * 20, groups=[i // 2 for i in range(40)])
    result = split_images(table, groups, NO_LINKS, policy("grouped"))
    assert len(result) == 40
    assert result.groupby("group_id")["split"].nunique().eq(1).all()


def test_original_keeps_every_file_including_duplicates_and_label_conflicts():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel"],
        original_split=["train", "train", "val", "val", "test", "test"],
        ids=["a" * 64, "a" * 64, "b" * 64, "c" * 64, "a" * 64, "d" * 64],
        groups=[0, 0, 1, 2, 0, 3],
    )
    result = split_images(table, groups, NO_LINKS, policy("original"))
    assert result["split"].tolist() == table["original_split"].tolist()
    assert result["is_leaked"].tolist() == [False, False, False, False, True, False]


def test_cleaned_keeps_the_original_test_and_removes_leakage_from_train_and_val():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "nv", "mel", "nv", "mel", "nv"],
        original_split=["train", "train", "train", "val", "val", "test", "test", "test", "val"],
        ids=[*(c * 64 for c in "abcdefgfh")],
        groups=[0, 1, 2, 3, 0, 4, 2, 4, 4],
    )
    result = split_images(table, groups, NO_LINKS, policy("cleaned"))
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
    result = split_images(table, groups, NO_LINKS, policy("cleaned"))
    assert result.loc[result["image_id"] == "a" * 64, "file"].tolist() == ["0004.jpg"]


UNCERTAIN = [("0000.jpg", "0003.jpg"), ("0004.jpg", "0005.jpg"), ("0001.jpg", "0002.jpg")]


def original_images(**kwargs):
    """Make images of two classes; files 0 to 2 are train, 3 and 4 val, 5 and 6 test."""
    original_split = ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    return images(["nv", "mel", "nv", "mel", "nv", "mel", "nv"], None, original_split, **kwargs)


def test_uncertain_links_count_only_between_splits():
    table, groups = original_images()
    result = split_images(table, groups, links(*UNCERTAIN), policy("original"))
    # The third link connects two train images.
    assert result["uncertain_links"].tolist() == [1, 0, 0, 1, 1, 1, 0]
    certain = links(*UNCERTAIN, same_group=True)
    assert split_images(table, groups, certain, policy("original"))["uncertain_links"].sum() == 0


@pytest.mark.parametrize("name", ["original", "cleaned"])
def test_images_with_uncertain_links_are_removed_from_train_and_val(name):
    table, groups = original_images()
    parameters = policy(name, exclude_uncertain_links=True)
    result = split_images(table, groups, links(*UNCERTAIN), parameters)
    # 0 (train) is linked to val, and 4 (val) to test. The other ends remain.
    assert result["file"].tolist() == ["0001.jpg", "0002.jpg", "0003.jpg", "0005.jpg", "0006.jpg"]
    assert result["uncertain_links"].sum() == 0


def test_error_for_a_class_that_loses_all_train_images_to_uncertain_links_names_this_reason():
    table, groups = images(
        ["nv", "mel", "bcc", "nv", "mel", "nv"],
        original_split=["train", "train", "train", "val", "test", "test"],
    )
    parameters = policy("original", exclude_uncertain_links=True)
    uncertain = links(("0002.jpg", "0005.jpg"))
    with pytest.raises(
        InputError,
        match=r"exclude_uncertain_links=true removes all train images of 'bcc' \(1 file\).*false",
    ):
        split_images(table, groups, uncertain, parameters)


def test_an_uncertain_link_counts_for_all_images_with_equal_pixels():
    ids = [*(c * 64 for c in "abcdefg")]
    table, groups = original_images(ids=ids, pixel_ids=[ids[0], ids[0], *ids[2:]])
    uncertain = links(("0000.jpg", "0006.jpg"))
    result = split_images(table, groups, uncertain, policy("original"))
    assert result["uncertain_links"].tolist() == [1, 1, 0, 0, 0, 0, 2]


def test_links_of_another_run_are_rejected():
    table, groups = original_images()
    with pytest.raises(InputError, match=r"image_links has files that image_groups lacks.*x\.jpg"):
        split_images(table, groups, links(("0000.jpg", "x.jpg")), policy("original"))


def test_missing_val_is_split_off_from_train_by_group():
    n = 60
    table, groups = images(
        ["nv", "mel"] * (n // 2),
        groups=[i // 4 for i in range(n)],
        original_split=["train"] * 48 + ["test"] * 12,
    )
    result = split_images(table, groups, NO_LINKS, policy("original"))
    assert result["split"].tolist()[48:] == ["test"] * 12
    assert set(result["split"][:48]) == {"train", "val"}
    assert result.groupby("group_id")["split"].nunique().eq(1).all()


def test_val_taken_from_train_has_its_fraction_of_train_and_val():
    labels = ["nv", "mel"] * 200
    table, groups = images(labels, original_split=["train"] * 340 + ["test"] * 60)
    counts = split_images(table, groups, NO_LINKS, policy("original"))["split"].value_counts()
    assert counts.to_dict() == {"train": 280, "val": 60, "test": 60}


@pytest.mark.parametrize("name", ["grouped", "original", "cleaned"])
def test_row_order_of_the_image_table_has_no_effect(name):
    ids = [f"{i // 2:064x}" for i in range(80)]  # every image occurs in two files
    table, groups = images(
        ["nv", "nv", "mel", "mel"] * 20,
        groups=[i // 2 for i in range(80)],
        original_split=["train"] * 60 + ["test"] * 20,
        ids=ids,
    )
    split_table = split_images(table, groups, NO_LINKS, policy(name))
    assert split_table["file"].is_monotonic_increasing
    shuffled = table.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        split_images(shuffled, groups, NO_LINKS, policy(name)), split_table
    )


def test_a_test_image_is_leaked_by_an_image_of_train_or_of_val():
    table, groups = images(
        ["nv", "mel"] * 4,
        groups=[0, 1, 2, 3, 0, 3, 6, 6],
        original_split=["train", "train", "val", "val", "test", "test", "test", "test"],
    )
    result = split_images(table, groups, NO_LINKS, policy("original"))
    assert result["is_leaked"].tolist() == [False] * 4 + [True, True, False, False]


def test_original_without_a_test_split_is_an_error_with_a_fix():
    table, groups = images(["nv", "mel"], original_split=["train", "train"])
    with pytest.raises(InputError, match=r"no test.*split\.policy=grouped"):
        split_images(table, groups, NO_LINKS, policy("original"))


def test_one_class_is_an_error():
    with pytest.raises(InputError, match="only one class \\('nv'\\)"):
        split_images(*images(["nv"] * 30), NO_LINKS, policy("grouped"))


def test_error_for_a_class_without_train_images_contains_the_class():
    table, groups = images(
        ["nv", "mel", "nv", "mel", "Mel "], original_split=["train", "train", "val", "val", "test"]
    )
    with pytest.raises(InputError, match="'Mel '.*did you mean 'mel'"):
        split_images(table, groups, NO_LINKS, policy("original"))


def test_error_for_a_class_suggests_another_name_of_it():
    table, groups = images(
        ["Melanoma", "nv", "Melanoma", "nv", "MEL"],
        original_split=["train", "train", "val", "val", "test"],
    )
    with pytest.raises(InputError, match="'MEL'.*did you mean 'Melanoma'"):
        split_images(table, groups, NO_LINKS, policy("original"))


def test_error_for_a_class_whose_train_images_all_leak_names_this_reason():
    table, groups = images(
        ["nv", "mel", "bcc", "nv", "mel", "bcc"],
        groups=[0, 1, 2, 3, 4, 2],
        original_split=["train", "train", "train", "test", "test", "test"],
    )
    with pytest.raises(
        InputError, match=r"policy=cleaned removes all train images of 'bcc' \(1 file\).*grouped"
    ):
        split_images(table, groups, NO_LINKS, policy("cleaned"))


def test_groups_of_another_table_are_rejected():
    table, groups = images(["nv", "mel"] * 20)
    with pytest.raises(InputError, match="image_groups"):
        split_images(table, groups.iloc[:-1], NO_LINKS, policy("grouped"))


def test_all_images_in_one_group_is_an_error():
    table, groups = images(["nv", "mel"] * 5, groups=[0] * 10)
    with pytest.raises(InputError, match="10 images in 1 group are too few to split"):
        split_images(table, groups, NO_LINKS, policy("grouped"))


def test_a_class_with_one_image_is_placed_in_train():
    table, groups = images(["nv"] * 40 + ["mel"] * 40 + ["rare"])
    result = split_images(table, groups, NO_LINKS, policy("grouped"))
    assert result.loc[result["label"] == "rare", "split"].tolist() == ["train"]


def test_another_seed_gives_another_split():
    table, groups = images(["nv", "mel"] * 50)
    first, second = (
        split_images(table, groups, NO_LINKS, policy("grouped", seed)) for seed in (0, 1)
    )
    assert not first["split"].equals(second["split"])


LABELS = ["nv", "mel", "bcc"]
# A label, a group, an image (two of them have equal pixels) and an original split for each file.
random_files = st.lists(
    st.tuples(
        st.sampled_from(LABELS),
        st.integers(0, 40),
        st.integers(0, 300),
        st.sampled_from(["train", "val", "test"]),
    ),
    min_size=100,
    max_size=200,
)


def splittable_images(files):
    """Make a table of random files, and of three further groups of each class.

    The further groups are in train, val and test, and have no label conflicts. No random file can
    therefore leave a class without train images, or a split without images.
    """
    group_of = {image // 2: group for _, group, image, _ in files}  # equal pixels: one group
    files = [(label, group_of[image // 2], image, split) for label, _, image, split in files]
    splits = ["train", "val", "test"]
    further = [
        (label, 1000 + 3 * number + place, 1000 + 2 * (3 * number + place), split)
        for number, label in enumerate(LABELS)
        for place, split in enumerate(splits)
    ]
    labels, groups, numbers, original_splits = zip(*files, *further, strict=True)
    return images(
        list(labels),
        groups=list(groups),
        original_split=list(original_splits),
        ids=[f"{number:064x}" for number in numbers],
        pixel_ids=[f"{number // 2:064x}" for number in numbers],
    )


def without_conflicts(table, groups):
    labels_of_pixels = table.groupby(groups["pixel_id"])["label"].transform("nunique")
    return table[labels_of_pixels == 1]


@settings(max_examples=15)
@given(files=random_files, seed=st.integers(0, 2**32 - 1))
def test_groups_are_not_split_and_row_order_has_no_effect(files, seed):
    table = pd.DataFrame(files, columns=["label", "group_id", "image", "original_split"])
    split = table.assign(split=stratified_group_split(table, FRACTIONS, seed))
    assert split.groupby("group_id")["split"].nunique().eq(1).all()
    assert split["split"].isin(FRACTIONS).all()
    assert set(split.loc[split["split"] == "train", "label"]) == set(table["label"])
    shuffled = table.sample(frac=1, random_state=0)
    again = shuffled.assign(split=stratified_group_split(shuffled, FRACTIONS, seed)).sort_index()
    pd.testing.assert_frame_equal(again, split)


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 6), min_size=50, max_size=100), seed=st.integers(0, 999))
def test_split_sizes_deviate_by_at_most_the_largest_group(sizes, seed):
    counts = split_of_groups([[("nv", size)] for size in sizes], seed=seed)["split"].value_counts()
    for name, fraction in FRACTIONS.items():
        assert abs(counts[name] - fraction * sum(sizes)) <= max(sizes)


@settings(max_examples=15)
@given(files=random_files)
def test_cleaned_test_is_the_original_test_without_label_conflicts(files):
    table, groups = splittable_images(files)
    result = split_images(table, groups, NO_LINKS, policy("cleaned"))
    assert result.groupby("group_id")["split"].nunique().eq(1).all()
    assert not result["image_id"].duplicated().any()
    assert (result["split"].eq("test") == result["original_split"].eq("test")).all()
    usable = without_conflicts(table, groups)
    expected = set(usable.loc[usable["original_split"] == "test", "image_id"])
    assert set(result.loc[result["split"] == "test", "image_id"]) == expected


@settings(max_examples=15)
@given(files=random_files, seed=st.integers(0, 9))
def test_every_usable_image_is_in_exactly_one_split(files, seed):
    table, groups = splittable_images(files)
    result = split_images(table, groups, NO_LINKS, policy("grouped", seed))
    assert list(result.columns) == COLUMNS
    assert not result["image_id"].duplicated().any()
    assert set(result["image_id"]) == set(without_conflicts(table, groups)["image_id"])
