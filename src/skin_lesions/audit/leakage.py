"""Leakage: duplicates, near-duplicates and groups across the original splits."""

from itertools import combinations

import pandas as pd

from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import across_splits
from skin_lesions.data.splits import leaked_test_mask


def _near_duplicates(pairs: pd.DataFrame) -> Finding:
    kinds = {str(kind): int(n) for kind, n in pairs["kind"].value_counts().items()}
    not_grouped = int((~pairs["same_group"]).sum())
    return Finding(
        "near_duplicates",
        "medium",
        f"Near-duplicates with different bytes: {pluralize(len(pairs), 'pair')} of images "
        "(re-encoded, rotated, cropped, recolored, or another image of the same lesion).",
        len(pairs),
        {"pairs": len(pairs), **kinds, "pairs_not_merged": not_grouped},
        pair_examples(pairs.sort_values("strength", ascending=False, kind="stable")),
        "split.policy=grouped keeps them in one split. Check the examples and image_links.parquet.",
    )


def _leakage_by_class(table: pd.DataFrame) -> Finding:
    tests = table[table["original_split"].eq("test")]
    # One row per class: sum is the number of leaked test files, size the number of test files.
    leaked = leaked_test_mask(table)[tests.index].groupby(tests["label"]).agg(["sum", "size"])
    leaked = leaked.assign(fraction=leaked["sum"] / leaked["size"]).sort_values(
        ["fraction", "sum"], ascending=False
    )
    affected = leaked[leaked["sum"] > 0]
    worst_classes = "; ".join(
        f"{label} {int(row['sum']):,} of {int(row['size']):,}"
        for label, row in affected.head(3).iterrows()
    )
    return Finding(
        "test_leakage_by_class",
        "medium",
        "Test files that share a group with an original training or validation file, by class: "
        f"{worst_classes}.",
        len(affected),
        {str(label): float(fraction) for label, fraction in leaked["fraction"].items()},
        [[str(label), f"{row['fraction']:.1%}"] for label, row in affected.iterrows()],
        "Compare classes only on a split without leakage: split.policy=grouped or "
        "split.policy=cleaned.",
    )


def _leakage_by_link_type(links: pd.DataFrame) -> Finding:
    across = links[links["same_group"] & across_splits(links)]
    kinds = {str(kind): int(n) for kind, n in across["kind"].value_counts().items()}
    by_type = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items())
    return Finding(
        "leakage_by_link_type",
        "info",
        f"Links between files of different original splits, by type: {by_type}.",
        len(across),
        dict(kinds),
        pair_examples(across),
        "image_links.parquet lists every link with its kind and strength.",
    )


def _duplicate_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """List all pairs of files with equal bytes: columns ``<name>_a`` and ``<name>_b``."""
    repeated = table[table.duplicated("image_id", keep=False)].sort_values("file")
    indices = [
        pair for _, rows in repeated.groupby("image_id") for pair in combinations(rows.index, 2)
    ]
    first = table.loc[[a for a, _ in indices]].reset_index(drop=True).add_suffix("_a")
    second = table.loc[[b for _, b in indices]].reset_index(drop=True).add_suffix("_b")
    return pd.concat([first, second], axis=1)


def pair_examples(pairs: pd.DataFrame) -> list[list[str]]:
    """Return the two files of each pair."""
    return pairs[["file_a", "file_b"]].to_numpy().tolist()


def _exact_duplicates(table: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    files = int(table.duplicated("image_id", keep=False).sum())
    return Finding(
        "exact_duplicates",
        "medium",
        f"{files:,} of {len(table):,} files are exact duplicates of another file "
        f"({pluralize(len(pairs), 'pair')}).",
        len(pairs),
        {"pairs": len(pairs), "files": files},
        pair_examples(pairs),
        "split.policy=grouped uses each image once.",
    )


def _exact_duplicates_across_splits(pairs: pd.DataFrame) -> Finding:
    across = pairs[across_splits(pairs)]
    return Finding(
        "exact_duplicates_across_splits",
        "high",
        "Exact duplicates are in different original splits: "
        f"{pluralize(len(across), 'pair')} of files.",
        len(across),
        {"pairs": len(across)},
        pair_examples(across),
        "Use split.policy=grouped. Scores with split.policy=original are too high.",
    )


def _groups_across_splits(table: pd.DataFrame) -> Finding:
    original = table[table["original_split"].notna()]
    split_groups = original[original.groupby("group_id")["original_split"].transform("nunique") > 1]
    tests, leaked = (
        int(original["original_split"].eq("test").sum()),
        int(leaked_test_mask(split_groups).sum()),
    )
    fraction = leaked / tests if tests else 0.0
    groups = int(split_groups["group_id"].nunique())
    message = f"Images of {pluralize(groups, 'group')} are in several original splits"
    if tests:
        message += (
            f"; {leaked:,} of {tests:,} test files ({fraction:.1%}) share a group with "
            "a training or validation file"
        )
    return Finding(
        "groups_across_splits",
        "high",
        message + ".",
        groups,
        {"groups": groups, "leaked_test_files": leaked, "test_files": tests, "fraction": fraction},
        files_by("group_id", split_groups),
        "split.policy=grouped keeps every group in one split. Scores on the original split are "
        "too high.",
    )


def files_by(key: str, table: pd.DataFrame) -> list[list[str]]:
    """Return up to four files of each value of a column."""
    return [sorted(files)[:4] for _, files in table.groupby(key)["file"]]
