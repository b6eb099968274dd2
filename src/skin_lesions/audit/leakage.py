"""What is wrong with a set of images: findings, counted, with examples and a remedy."""

from itertools import combinations

import pandas as pd

from skin_lesions.audit.finding import Finding
from skin_lesions.audit.finding import pluralize as _count
from skin_lesions.data.groups import across_splits
from skin_lesions.data.splits import leaked_test_mask


def _near_duplicates(pairs: pd.DataFrame) -> Finding:
    kinds = {str(kind): int(n) for kind, n in pairs["kind"].value_counts().items()}
    apart = int((~pairs["same_group"]).sum())
    return Finding(
        "near_duplicates",
        "medium",
        f"Other bytes, but one photograph: {_count(len(pairs), 'pair')} of pictures (re-encoded, turned, "
        "cropped, recoloured, or taken once more of one lesion).",
        len(pairs),
        {"pairs": len(pairs), **kinds, "pairs not joined for want of a second": apart},
        pair_examples(pairs.sort_values("strength", ascending=False, kind="stable")),
        "split.policy=grouped keeps them in one split; look at the examples, and at image_links.parquet.",
    )


def _leakage_by_class(table: pd.DataFrame) -> Finding:
    tests = table[table["original_split"].eq("test")]
    leaked = leaked_test_mask(table)[tests.index].groupby(tests["label"]).agg(["sum", "size"])
    leaked = leaked.assign(share=leaked["sum"] / leaked["size"]).sort_values(
        ["share", "sum"], ascending=False
    )
    torn = leaked[leaked["sum"] > 0]
    told = "; ".join(
        f"{label} {int(row['sum']):,} of {int(row['size']):,}"
        for label, row in torn.head(3).iterrows()
    )
    return Finding(
        "test_leakage_by_class",
        "medium",
        f"Test files with a mate in the shipped train or val, by class: {told}.",
        len(torn),
        {str(label): float(share) for label, share in leaked["share"].items()},
        [[str(label), f"{row['share']:.1%}"] for label, row in torn.iterrows()],
        "Compare classes only on a split without leaks: split.policy=grouped or cleaned.",
    )


def _leakage_by_link_type(links: pd.DataFrame) -> Finding:
    across = links[links["same_group"] & across_splits(links)]
    kinds = {str(kind): int(n) for kind, n in across["kind"].value_counts().items()}
    told = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items())
    return Finding(
        "leakage_by_link_type",
        "info",
        f"What links files across the shipped splits (links, by evidence): {told}.",
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
        f"{files:,} of {len(table):,} files stand more than once, byte for byte "
        f"({_count(len(pairs), 'pair')}).",
        len(pairs),
        {"pairs": len(pairs), "files": files},
        pair_examples(pairs),
        "split.policy=grouped keeps each picture once.",
    )


def _exact_duplicates_across_splits(pairs: pd.DataFrame) -> Finding:
    across = pairs[across_splits(pairs)]
    return Finding(
        "exact_duplicates_across_splits",
        "high",
        f"Across the shipped splits, {_count(len(across), 'pair')} of files are exact copies.",
        len(across),
        {"pairs": len(across)},
        pair_examples(across),
        "split.policy=grouped; numbers from split.policy=original are too good.",
    )


def _groups_across_splits(table: pd.DataFrame) -> Finding:
    shipped = table[table["original_split"].notna()]
    torn = shipped[shipped.groupby("group_id")["original_split"].transform("nunique") > 1]
    tests, leaked = (
        int(shipped["original_split"].eq("test").sum()),
        int(leaked_test_mask(torn).sum()),
    )
    share = leaked / tests if tests else 0.0
    groups = int(torn["group_id"].nunique())
    told = (
        f"Across the shipped splits lie {_count(groups, 'group')} of pictures that belong together"
    )
    if tests:
        told += f"; {leaked:,} of {tests:,} test files ({share:.1%}) have a mate in train or val"
    return Finding(
        "groups_across_splits",
        "high",
        told + ".",
        groups,
        {"groups": groups, "leaked_test_files": leaked, "test_files": tests, "share": share},
        files_by("group_id", torn),
        "split.policy=grouped keeps every group in one split; scores as shipped are too good.",
    )


def files_by(key: str, table: pd.DataFrame) -> list[list[str]]:
    """Return up to four files of each value of a column."""
    return [sorted(files)[:4] for _, files in table.groupby(key)["file"]]
