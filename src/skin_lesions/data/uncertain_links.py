"""Uncertain links: near-duplicates that were found, but not accepted for grouping.

The rules of ``near_duplicates.clustering`` do not merge two groups because of one weak pair. The
two images may then be in different splits, although they may show the same photograph.
"""

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import attach_file_columns


def count_across_splits(split_table: pd.DataFrame, image_links: pd.DataFrame) -> pd.Series:
    """Count, for each row, the uncertain links to images of other splits.

    Args:
        split_table: One row per file; columns file, pixel_id and split, and a unique index.
        image_links: Result of ``groups.group_images``, with the column pixel_id of both files.
    """
    pairs = _pairs_across_splits(split_table, image_links)
    counts = pd.concat([pairs["row_a"], pairs["row_b"]]).value_counts()
    return counts.reindex(split_table.index, fill_value=0).astype("int64")


def exclude(split_table: pd.DataFrame, image_links: pd.DataFrame) -> pd.DataFrame:
    """Remove train images with an uncertain link to val or test, and val images with one to test.

    No test image is removed.

    Args:
        split_table: As for ``count_across_splits``, with the column label.
        image_links: As for ``count_across_splits``.

    Raises:
        InputError: A class would lose all of its train images.
    """
    pairs = _pairs_across_splits(split_table, image_links)
    removed = set()
    for split, others in (("train", {"val", "test"}), ("val", {"test"})):
        for end, other in ("ab", "ba"):
            is_linked = pairs[f"split_{end}"].eq(split) & pairs[f"split_{other}"].isin(others)
            removed |= set(pairs.loc[is_linked, f"row_{end}"])
    remaining = split_table.drop(index=list(removed))
    in_train = split_table[split_table["split"].eq("train")]
    lost = in_train[~in_train["label"].isin(remaining.loc[remaining["split"].eq("train"), "label"])]
    if len(lost):
        raise InputError(
            "split.exclude_uncertain_links=true removes all train images of "
            f"{', '.join(map(repr, sorted(lost['label'].unique())))} "
            f"({pluralize(len(lost), 'file')}). Fix: check the links in image_links.parquet, add "
            "images, or use --params split.exclude_uncertain_links=false"
        )
    return remaining


def with_pixel_ids(image_links: pd.DataFrame, image_groups: pd.DataFrame) -> pd.DataFrame:
    """Add pixel_id_a and pixel_id_b to each link.

    Args:
        image_links: Result of ``groups.group_images``.
        image_groups: Result of the same call.

    Raises:
        InputError: The two tables are from different runs.
    """
    unknown = set(image_links["file_a"]).union(image_links["file_b"]) - set(image_groups["file"])
    if unknown:
        raise InputError(
            f"image_links has files that image_groups lacks, e.g. {min(unknown)}. Expected both "
            "tables from the same run. Fix: kedro run --pipelines audit,preprocess (same --env and "
            "--params)"
        )
    return attach_file_columns(image_links, image_groups[["file", "pixel_id"]])


def _pairs_across_splits(split_table: pd.DataFrame, image_links: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of rows in different splits that an uncertain link connects.

    Only the first of several images with equal pixels is compared with others. Its links therefore
    count for all of them.

    Returns:
        Columns row_a and row_b (index of the split table), split_a and split_b.
    """
    uncertain = image_links.loc[~image_links["same_group"], ["pixel_id_a", "pixel_id_b"]]
    rows = split_table.reset_index(names="row")[["row", "pixel_id", "split"]]
    pairs = uncertain.merge(rows.add_suffix("_a"), on="pixel_id_a")
    pairs = pairs.merge(rows.add_suffix("_b"), on="pixel_id_b")
    return pairs[pairs["split_a"].ne(pairs["split_b"])]
