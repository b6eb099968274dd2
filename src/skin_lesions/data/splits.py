"""Train, val and test splits by group.

A policy decides how images are assigned to the splits and which images are excluded.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from skin_lesions.config.split import Split
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable, similar_names
from skin_lesions.data import uncertain_links
from skin_lesions.data.column_split import divide_by_column
from skin_lesions.data.diagnoses import class_key
from skin_lesions.data.groups import add_groups

SPLITS = ("train", "val", "test")
COLUMNS = [
    "file",
    "image_id",
    "label",
    "split",
    "original_split",
    "group_id",
    "is_leaked",
    "uncertain_links",
]


def split_images(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    split: Split,
) -> pd.DataFrame:
    """Assign every usable image to a split, according to ``split.policy``.

    - ``grouped`` keeps one row per image_id and places each group in exactly one split. It excludes
      images with label conflicts (equal bytes or pixels, but different labels).
    - ``original`` keeps every file in its original split.
    - ``cleaned`` keeps the original test split, so that results remain comparable with published
      ones. It keeps each image once and excludes images with label conflicts. It removes images
      that share a group with a test image from train and val. Val images that share a group with
      a train image move to train.
    - ``by_column`` takes the images with some values of a column as test images
      (``column_split.divide_by_column``). It keeps each image once, excludes images with label
      conflicts and groups with images in both parts, and splits val off from the others.

    If the source has no val split, ``original`` and ``cleaned`` split one off from train, by group.
    With ``split.exclude_uncertain_links``, ``uncertain_links.exclude`` then removes images of train
    and val.

    Args:
        image_table: One row per readable file; columns file, image_id, label, original_split.
        image_groups: group_id and pixel_id of every file of ``image_table``.
        image_links: The links between these files, from ``groups.group_images``.
        split: Policy, fractions and seed.

    Returns:
        One row per selected file, sorted by file, with the columns of ``COLUMNS``. ``is_leaked``
        marks files of the original test split whose group also has images in the original train
        or val split. ``uncertain_links`` counts near-duplicates in other splits that were found,
        but not accepted for grouping.

    Raises:
        InputError: No images are left, a split would be empty, train would have no image of a
            class, or the groups belong to other images.
    """
    table = add_groups(image_table, image_groups).sort_values("file")
    table = table.assign(is_leaked=leaked_test_mask(table)).reset_index(drop=True)
    split_table = _POLICIES[split.policy](table, split)
    links = uncertain_links.with_pixel_ids(image_links, image_groups)
    if split.exclude_uncertain_links:
        split_table = uncertain_links.exclude(split_table, links)
    counts = uncertain_links.count_across_splits(split_table, links)
    split_table = split_table.assign(uncertain_links=counts)
    _check_split(split_table, table, split)
    return split_table[COLUMNS].reset_index(drop=True)


def stratified_group_split(
    table: pd.DataFrame, fractions: Mapping[str, float], seed: int
) -> pd.Series:
    """Assign each row to a split: groups are not split, and classes have about equal fractions.

    Groups are processed by size, the largest first, in random order among equal sizes. A group
    with a class that a split lacks completely is placed in the first such split. Any other group
    is placed in the split that lacks most images of its classes.

    The first split therefore has images of every class. A class of g groups, all with only this
    label, is in the first ``min(g, splits)`` splits of ``fractions``.

    Args:
        table: Columns label and group_id.
        fractions: Split name to fraction; sums to 1.
        seed: Equal seeds and equal groups give equal splits, independent of the order of the rows.

    Returns:
        The name of the split for each row.
    """
    # Both axes are sorted, so the order of the rows has no effect.
    cells = pd.crosstab(table["group_id"], table["label"])
    # counts: (groups, classes), images; target: (splits,), fractions.
    counts = cells.to_numpy()
    target = np.array(list(fractions.values()))
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts.sum(axis=1)[order], kind="stable")]
    class_totals = counts.sum(axis=0)  # (classes,)
    missing = np.outer(target, class_totals)  # (splits, classes), images still to place
    absent = np.ones(missing.shape, dtype=bool)  # (splits, classes), no image placed yet
    chosen = np.empty(len(counts), dtype=int)  # (groups,), index of the split
    for group in order:
        lacks_class = absent[:, counts[group] > 0].any(axis=1)  # (splits,)
        # Divided by the class totals, so that rare classes count as much as common ones. Divided
        # by the fractions, so that small splits are filled as fast as large ones.
        need = (missing * counts[group] / class_totals).sum(axis=1) / target  # (splits,)
        # Rounded, because rounding errors would otherwise decide between equal needs.
        chosen[group] = int(np.argmax(lacks_class if lacks_class.any() else need.round(9)))
        missing[chosen[group]] -= counts[group]
        absent[chosen[group], counts[group] > 0] = False
    names = pd.Series(np.array(list(fractions))[chosen], index=cells.index)
    return table["group_id"].map(names)


def leaked_test_mask(table: pd.DataFrame) -> pd.Series:
    """Return a mask of the leaked files of the original test split.

    A test file is leaked if its group also has images in the original train or val split.
    """
    train_or_val = table.loc[table["original_split"].isin(["train", "val"]), "group_id"]
    return table["original_split"].eq("test") & table["group_id"].isin(train_or_val)


def has_label_conflict(table: pd.DataFrame) -> pd.Series:
    """Return a mask of the files whose pixels occur with more than one label.

    Files with equal bytes have equal pixels, so the mask includes their label conflicts.

    Args:
        table: Columns label and pixel_id, as ``add_groups`` adds it.
    """
    return table.groupby("pixel_id")["label"].transform("nunique") > 1


def _deduplicate(table: pd.DataFrame) -> pd.DataFrame:
    """Return each image once, without images with label conflicts."""
    unique = table[~has_label_conflict(table)].drop_duplicates("image_id")
    if unique.empty:
        raise InputError(
            "No image is left, because all images have conflicting labels. Fix: correct the labels"
        )
    return unique


def _grouped(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    unique = _deduplicate(table)
    return unique.assign(
        split=stratified_group_split(unique, split.fractions.model_dump(), split.seed)
    )


def _original(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    _check_original_test(table, split)
    return _split_off_val(table.assign(split=table["original_split"]), split)


def _cleaned(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    _check_original_test(table, split)
    # Test rows first: of exact duplicates in several splits, the test file is retained.
    by_split = table.sort_values("original_split", key=lambda split: split != "test", kind="stable")
    images = _deduplicate(by_split)
    test_groups = images.loc[images["original_split"] == "test", "group_id"]
    images = images[images["original_split"].eq("test") | ~images["group_id"].isin(test_groups)]
    train_groups = images.loc[images["original_split"] == "train", "group_id"]
    moved = images["original_split"].eq("val") & images["group_id"].isin(train_groups)
    split_table = images.assign(split=images["original_split"].mask(moved, "train"))
    return _split_off_val(split_table.sort_values("file"), split)


def _by_column(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    # Duplicates are still in the table: one of them in each part shows that a group spans both.
    division = divide_by_column(table, split.column, split.test_values)
    parts = division.is_test.map({True: "test", False: "train"})
    images = _deduplicate(table.assign(split=parts)[~division.is_excluded])
    return _split_off_val(images, split)


_POLICIES: Mapping[str, Callable[[pd.DataFrame, Split], pd.DataFrame]] = {
    "grouped": _grouped,
    "original": _original,
    "cleaned": _cleaned,
    "by_column": _by_column,
}


def _split_off_val(split_table: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Split a val split off from train, by group, if the table has none."""
    if "val" in set(split_table["split"]):
        return split_table
    train = split_table[split_table["split"] == "train"]
    val_fraction = split.fractions.val / (split.fractions.train + split.fractions.val)
    fractions = {"train": 1 - val_fraction, "val": val_fraction}
    new_splits = stratified_group_split(train, fractions, split.seed)
    return split_table.assign(
        split=new_splits.reindex(split_table.index).fillna(split_table["split"])
    )


def _check_original_test(table: pd.DataFrame, split: Split) -> None:
    absent = sorted({"train", "test"} - set(table["original_split"].dropna()))
    if absent:
        raise InputError(
            f"split.policy={split.policy} requires the folders train and test, but the source has "
            f"no {' and no '.join(absent)}. "
            "Fix: use the default, --params split.policy=grouped"
        )


def _check_split(table: pd.DataFrame, all_files: pd.DataFrame, split: Split) -> None:
    counts = pd.crosstab(table["label"], table["split"]).reindex(columns=SPLITS, fill_value=0)
    if len(counts) < 2:
        raise InputError(
            f"The images have only one class ({counts.index[0]!r}). Expected two or more classes"
        )
    untrained = counts.index[counts["train"] == 0].tolist()
    if untrained:
        if split.policy == "by_column":
            raise InputError(
                f"All images of {_names(untrained)} have one of split.test_values in "
                f"{printable(split.column)}, or their groups are left out, so no model can be "
                "trained for them. Fix: leave out some of the values, or remove the class"
            )
        _check_removed_train_images(untrained, all_files, split)
        trained = counts.index[counts["train"] > 0].tolist()
        similar = [name for name in trained if class_key(name) == class_key(untrained[0])]
        similar += similar_names(untrained[0], trained)
        suggestion = f" (did you mean {similar[0]!r}?)" if similar else ""
        raise InputError(
            f"No image of {_names(untrained)} is in train, so no model can be trained for it"
            f"{suggestion}. Fix: correct the spelling of the folder, add "
            f"images, or remove the class (train has {_names(trained)})"
        )
    empty = [name for name in SPLITS if counts[name].sum() == 0]
    if empty:
        groups = table["group_id"].nunique()
        raise InputError(
            f"The split leaves {_names(empty)} without any image: {len(table)} images in "
            f"{groups} group{'s' * (groups != 1)} are too few to split. Fix: add images, or "
            "increase the fractions of val and test (split.fractions)"
        )


def _check_removed_train_images(
    untrained: list[str], all_files: pd.DataFrame, split: Split
) -> None:
    """Name the reason if the policy removed all train images of classes."""
    in_train = all_files[all_files["original_split"].eq("train")]
    removed = in_train.loc[in_train["label"].isin(untrained), "label"].value_counts()
    if len(removed):
        raise InputError(
            f"split.policy={split.policy} removes all train images of {_names(removed.index)} "
            f"({pluralize(int(removed.sum()), 'file')}), because they share a group with a test "
            "image or have conflicting labels. Fix: use --params split.policy=grouped, add images "
            "of other lesions, or remove the class"
        )


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
