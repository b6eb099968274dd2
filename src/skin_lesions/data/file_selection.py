"""Files of a cleaned data set: one file per image, and no related images in two splits."""

from collections.abc import Iterator

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.groups import LINK_COLUMNS, NEAR_DUPLICATE_KINDS, add_groups, group_images
from skin_lesions.data.splits import has_label_conflict

# Related images in two splits are retained in the first of these.
SPLIT_ORDER = ("test", "val", "train")


def select_files(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    split_table: pd.DataFrame,
) -> pd.DataFrame:
    """Select one file per image of the split table.

    - Of several files with equal bytes or equal pixels, the one in the split table is retained. If
      several of them are in it, the order is test, val, train, then the alphabetical order.
    - Images with label conflicts (equal pixels with several labels) are left out.
    - If related images are in two splits, those in train are left out, then those in val. With
      ``split.policy`` ``grouped`` and ``cleaned``, such images are rare: without the images that
      are left out, the rules for near-duplicates may merge two groups that were separate.

    Args:
        image_table: One row per readable file.
        image_groups: group_id and pixel_id of every file of ``image_table``.
        image_links: The links between these files, from ``groups.group_images``.
        split_table: One row per file that the split uses.

    Returns:
        ``image_table`` with the columns group_id, pixel_id, split (None for files that are left
        out) and related_file (for files that are left out, the retained file with the same pixels
        or of the same group, if there is one), sorted by file.

    Raises:
        InputError: The tables are from different runs, or a class loses all of its train images.
    """
    table = add_groups(image_table, image_groups).sort_values("file").reset_index(drop=True)
    _check_groups(table, split_table)
    table["split"] = table["file"].map(split_table.set_index("file")["split"]).astype(object)
    usable = table[table["split"].notna() & ~has_label_conflict(table)]
    retained = _by_split(usable).drop_duplicates("pixel_id").sort_index()
    retained, related = _without_related_images(table, retained, image_links)
    twin = table["pixel_id"].map(retained.set_index("pixel_id")["file"])
    first_of_group = _by_split(retained).drop_duplicates("group_id").set_index("group_id")["file"]
    is_retained = table["file"].isin(retained["file"])
    related_file = twin.fillna(related.reindex(table.index)).fillna(
        table["group_id"].map(first_of_group)
    )
    is_known = ~is_retained & related_file.notna()
    return table.assign(
        split=table["split"].where(is_retained, None),
        related_file=related_file.astype(object).where(is_known, None),
    )


def _check_groups(table: pd.DataFrame, split_table: pd.DataFrame) -> None:
    groups = split_table["file"].map(table.set_index("file")["group_id"])
    other = split_table.loc[groups.ne(split_table["group_id"]), "file"]
    if len(other):
        raise InputError(
            "split_table and image_groups have different groups for "
            f"{pluralize(len(other), 'file')}, e.g. {printable(other.iloc[0])}. Expected both "
            "tables from the same images. Fix: kedro run --pipelines preprocess,clean "
            "(same --env and --params)"
        )


def _by_split(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by split, in the order of ``SPLIT_ORDER``, then by file."""
    rank = rows["split"].map(SPLIT_ORDER.index)
    return rows.assign(rank=rank).sort_values(["rank", "file"]).drop(columns="rank")


def _without_related_images(
    table: pd.DataFrame, retained: pd.DataFrame, image_links: pd.DataFrame
) -> tuple[pd.DataFrame, pd.Series]:
    """Leave out images of train and val that are related to an image of a later split.

    Returns:
        The remaining rows.

        For each row that was left out, a related file that remains in another split.

    Raises:
        InputError: A class loses all of its train images.
    """
    related = pd.Series(dtype=object)
    rows = retained
    found = _related_across_splits(table, rows, image_links)
    while len(found):
        related = pd.concat([related, found])
        rows = rows.drop(index=found.index)
        # The groups of the remaining images may be others.
        found = _related_across_splits(table, rows, image_links)
    trained = rows.loc[rows["split"].eq("train"), "label"]
    lost = retained[retained["split"].eq("train") & ~retained["label"].isin(trained)]
    if len(lost):
        raise InputError(
            f"The cleaned data set has no train image of {printable(lost['label'].iloc[0])!r}, "
            "because all of them are related to images of val or test. Fix: kedro run --pipelines "
            "preprocess,clean --params split.policy=grouped (same --env)"
        )
    return rows, related


def _related_across_splits(
    table: pd.DataFrame, rows: pd.DataFrame, image_links: pd.DataFrame
) -> pd.Series:
    """Return the images to leave out next: row -> a related file in another split."""
    by_split = _by_split(rows)
    found: dict[object, object] = {}
    for groups in _groupings(table, rows, image_links):
        first = by_split.groupby(groups.reindex(by_split.index))[["split", "file"]].transform(
            "first"
        )
        is_related = by_split["split"].ne(first["split"])
        found |= first.loc[is_related, "file"].to_dict()
    return pd.Series(found, dtype=object)


def _groupings(
    table: pd.DataFrame, rows: pd.DataFrame, image_links: pd.DataFrame
) -> Iterator[pd.Series]:
    """Yield the groups of the audit, and those that an audit of only these rows would find."""
    yield rows["group_id"]
    columns = ["file", *(name for name in LINK_COLUMNS if name in rows)]
    groups, _ = group_images(
        rows[columns].reset_index(drop=True), retained_pairs(table, rows, image_links)
    )
    yield groups["group_id"].set_axis(rows.index)


def retained_pairs(
    table: pd.DataFrame, rows: pd.DataFrame, image_links: pd.DataFrame
) -> pd.DataFrame:
    """Return the near-duplicates among some images, in the form of ``find_near_duplicates``.

    Only the first of several images with equal pixels is compared with others. Its links
    therefore count for the retained one.

    Args:
        table: One row per readable file; columns file and pixel_id.
        rows: The retained files, one per pixel_id.
        image_links: Result of ``groups.group_images``.

    Returns:
        Columns a and b (positions in ``rows``, a < b), kind, strength and same_group; one row per
        pair, the strongest link of it.
    """
    kinds = {name: kind for kind, name in NEAR_DUPLICATE_KINDS.items()}
    links = image_links[image_links["kind"].isin(kinds)]
    position = dict(zip(rows["pixel_id"], range(len(rows)), strict=True))
    position_of_file = table.set_index("file")["pixel_id"].map(position)
    ends = pd.DataFrame(
        {end: links[f"file_{end}"].map(position_of_file) for end in "ab"}, index=links.index
    )
    pairs = pd.DataFrame(
        {
            "a": ends.min(axis=1, skipna=False),
            "b": ends.max(axis=1, skipna=False),
            "kind": links["kind"].map(kinds),
            "strength": links["strength"],
            "same_group": links["same_group"],
        }
    ).dropna()
    pairs = pairs[pairs["a"].ne(pairs["b"])].sort_values("strength", ascending=False, kind="stable")
    return pairs.drop_duplicates(["a", "b"]).astype({"a": int, "b": int}).reset_index(drop=True)
