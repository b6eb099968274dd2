"""Groups -> train, val and test."""

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np
import pandas as pd

from skin_lesions.config.split import Split
from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import add_groups

SPLITS = ("train", "val", "test")
COLUMNS = ["file", "image_id", "label", "split", "original_split", "group_id", "is_leaked"]


def split_images(
    image_table: pd.DataFrame, image_groups: pd.DataFrame, split: Split
) -> pd.DataFrame:
    """Give every usable image its split, under ``split.policy``.

    ``grouped`` keeps one row per image_id, leaves out images whose bytes or pixels stand under two
    labels, and puts no group into two splits. ``original`` keeps every file where the source put it. ``cleaned``
    keeps the shipped test, so that numbers stay comparable with published ones: each of its images
    once, without those that stand under two labels; whatever shares a group with it leaves train and
    val, and what shares one with train leaves val for train. Where the source has no val, one is cut
    from train, by groups.

    Args:
        image_table: One row per readable file; columns file, image_id, label, original_split.
        image_groups: group_id and pixel_id of every file of ``image_table``.
        split: Policy, shares and seed.

    Returns:
        One row per kept file, sorted by file, with the columns of ``COLUMNS``. ``is_leaked`` marks a
        file shipped as test that has a group mate in the shipped train or val.

    Raises:
        InputError: There is nothing to divide, a split or class would stay empty, or the groups
            are of other images.
    """
    table = add_groups(image_table, image_groups).sort_values("file")
    table = table.assign(is_leaked=leaked_test_mask(table)).reset_index(drop=True)
    divide = {"grouped": _grouped, "original": _original, "cleaned": _cleaned}[split.policy]
    divided = divide(table, split)
    _check_split(divided)
    return divided[COLUMNS].reset_index(drop=True)


def stratified_group_split(
    table: pd.DataFrame, shares: Mapping[str, float], seed: int
) -> pd.Series:
    """Give each row a split so that no group is torn and each class comes close to the shares.

    Groups are taken at random, the largest first; each goes where its classes lack most. A class
    with fewer groups than splits can't be everywhere: it goes to the first splits of ``shares``.

    Args:
        table: Columns label and group_id.
        shares: Split name to share; sums to 1.
        seed: Equal seeds and equal groups give equal splits, whatever the order of the rows.

    Returns:
        The split's name for each row.
    """
    cells = pd.crosstab(table["group_id"], table["label"])  # both sorted: row order can't matter
    counts, share = cells.to_numpy(), np.array(list(shares.values()))
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts.sum(axis=1)[order], kind="stable")]
    per_class = counts.sum(axis=0)
    lacking = np.outer(share, per_class)  # (splits, classes), images
    chosen = np.empty(len(counts), dtype=int)
    for group in order:
        # Relative to the class, so that rare classes count as much as common ones.
        need = (lacking * counts[group] / per_class).sum(axis=1) / share
        chosen[group] = int(np.argmax(need))
        lacking[chosen[group]] -= counts[group]
    names = pd.Series(np.array(list(shares))[chosen], index=cells.index)
    return table["group_id"].map(names)


def leaked_test_mask(table: pd.DataFrame) -> pd.Series:
    """Mark the files shipped as test that have a group mate in the shipped train or val."""
    elsewhere = table.loc[table["original_split"].isin(["train", "val"]), "group_id"]
    return table["original_split"].eq("test") & table["group_id"].isin(elsewhere)


def has_label_conflict(table: pd.DataFrame) -> pd.Series:
    """Mark the files whose pixels, and so also those whose bytes, stand under more than one label.

    Args:
        table: Columns label and pixel_id, as ``add_groups`` adds it.
    """
    return table.groupby("pixel_id")["label"].transform("nunique") > 1


def _deduplicate(table: pd.DataFrame) -> pd.DataFrame:
    """Keep each image once, and none that stands under two labels."""
    kept = table[~has_label_conflict(table)].drop_duplicates("image_id")
    if kept.empty:
        raise InputError("no image is left: all stand under two labels")
    return kept


def _grouped(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    kept = _deduplicate(table)
    return kept.assign(split=stratified_group_split(kept, split.fractions.model_dump(), split.seed))


def _original(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    _check_original_test(table, split)
    return _split_off_val(table.assign(split=table["original_split"]), split)


def _cleaned(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    _check_original_test(table, split)
    # The test's own row first, so that of two copies it is the test's that stays.
    by_split = table.sort_values("original_split", key=lambda split: split != "test", kind="stable")
    kept = _deduplicate(by_split)
    tested = kept.loc[kept["original_split"] == "test", "group_id"]
    kept = kept[kept["original_split"].eq("test") | ~kept["group_id"].isin(tested)]
    learned = kept.loc[kept["original_split"] == "train", "group_id"]
    moves = kept["original_split"].eq("val") & kept["group_id"].isin(learned)
    divided = kept.assign(split=kept["original_split"].mask(moves, "train"))
    return _split_off_val(divided.sort_values("file"), split)


def _split_off_val(divided: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Cut a val from train where the source has none."""
    if "val" in set(divided["split"]):
        return divided
    train = divided[divided["split"] == "train"]
    val_share = split.fractions.val / (split.fractions.train + split.fractions.val)
    shares = {"train": 1 - val_share, "val": val_share}
    cut = stratified_group_split(train, shares, split.seed)
    return divided.assign(split=cut.reindex(divided.index).fillna(divided["split"]))


def _check_original_test(table: pd.DataFrame, split: Split) -> None:
    absent = {"train", "test"} - set(table["original_split"].dropna())
    if absent:
        raise InputError(
            f"split.policy={split.policy} needs the folders train and test; the source has no "
            f"{' and no '.join(sorted(absent))}. Take the default instead: --params split.policy=grouped"
        )


def _check_split(table: pd.DataFrame) -> None:
    counts = pd.crosstab(table["label"], table["split"]).reindex(columns=SPLITS, fill_value=0)
    if len(counts) < 2:
        raise InputError(
            f"there is one class only ({counts.index[0]!r}); a classifier needs two or more"
        )
    untrained = counts.index[counts["train"] == 0].tolist()
    if untrained:
        trained = counts.index[counts["train"] > 0].tolist()
        raise InputError(
            f"no image of {_names(untrained)} is in train, so nothing could learn it"
            f"{_did_you_mean(untrained[0], trained)}: mend the spelling of the folder, add images, or "
            f"take the class away (train has {_names(trained)})"
        )
    empty = [name for name in SPLITS if counts[name].sum() == 0]
    if empty:
        groups = table["group_id"].nunique()
        raise InputError(
            f"the split leaves {_names(empty)} without any image: {len(table)} images in "
            f"{groups} group{'s' * (groups != 1)} are too few to divide; add images, or give more to "
            "val and test with split.fractions"
        )


def _did_you_mean(name: str, known: list[str]) -> str:
    folded = {other.casefold().strip(): other for other in known}
    close = get_close_matches(name.casefold().strip(), folded, n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def _names(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
