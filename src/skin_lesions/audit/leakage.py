"""Leakage: duplicates, near-duplicates and groups across the original splits."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding, Severity
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import across_splits
from skin_lesions.data.splits import leaked_test_mask


def exact_duplicates_across_splits(context: AuditContext) -> list[Finding]:
    """Report pairs of files with equal bytes in different original splits."""
    pairs = context.duplicate_pairs
    across = pairs[across_splits(pairs)]
    if across.empty:
        return []
    effect = _effect(map(set, across[["original_split_a", "original_split_b"]].to_numpy()))
    return [
        Finding(
            id="exact_duplicates_across_splits",
            severity=effect.severity,
            message="Exact duplicates are in different original splits: "
            f"{pluralize(len(across), 'pair')} of files.",
            count=len(across),
            details={"pairs": len(across)},
            examples=pair_examples(across),
            recommendation=f"Use split.policy=grouped. {effect.scores}",
        )
    ]


def groups_across_splits(context: AuditContext) -> list[Finding]:
    """Report groups in several original splits, and the fraction of test files they affect."""
    original = context.table[context.table["original_split"].notna()]
    split_groups = original[original.groupby("group_id")["original_split"].transform("nunique") > 1]
    if split_groups.empty:
        return []
    groups = split_groups["group_id"].nunique()
    tests = int(original["original_split"].eq("test").sum())
    leaked = int(leaked_test_mask(split_groups).sum())
    fraction = leaked / tests if tests else 0.0
    effect = _effect(
        set(splits) for _, splits in split_groups.groupby("group_id")["original_split"]
    )
    message = f"Images of {pluralize(groups, 'group')} are in several original splits"
    if tests:
        message += (
            f"; {leaked:,} of {tests:,} test files ({fraction:.1%}) share a group with "
            "a training or validation file"
        )
    return [
        Finding(
            id="groups_across_splits",
            severity=effect.severity,
            message=message + ".",
            count=groups,
            details={
                "groups": groups,
                "leaked_test_files": leaked,
                "test_files": tests,
                "fraction": fraction,
            },
            examples=files_by("group_id", split_groups),
            recommendation=f"split.policy=grouped keeps every group in one split. {effect.scores}",
        )
    ]


class _Effect(NamedTuple):
    """The effect of leakage on the scores; see docs/data.md for the severity."""

    severity: Severity
    scores: str


def _effect(splits: Iterable[set[str]]) -> _Effect:
    """Return the effect of leakage.

    Args:
        splits: The original splits of each pair or group of related files.
    """
    leaks = list(splits)
    if any({"train", "test"} <= leak for leak in leaks):
        return _Effect("high", "Test scores on the original split are usually too high.")
    if any("test" in leak for leak in leaks):
        return _Effect(
            "medium",
            "On the original split, the epoch and the temperature are selected with images that "
            "are related to test images.",
        )
    return _Effect(
        "medium",
        "On the original split, validation scores are too high, and the wrong epoch may be "
        "selected. Test scores are not affected otherwise.",
    )


def leakage_by_class(context: AuditContext) -> list[Finding]:
    """Report, for each class, the fraction of original test files that are leaked."""
    table = context.table
    tests = table[table["original_split"].eq("test")]
    # One row per class: sum is the number of leaked test files, size the number of test files.
    leaked = leaked_test_mask(table)[tests.index].groupby(tests["label"]).agg(["sum", "size"])
    leaked = leaked.assign(fraction=leaked["sum"] / leaked["size"]).sort_values(
        ["fraction", "sum"], ascending=False
    )
    affected = leaked[leaked["sum"] > 0]
    if affected.empty:
        return []
    worst_classes = "; ".join(
        f"{label} {int(row['sum']):,} of {int(row['size']):,}"
        for label, row in affected.head(3).iterrows()
    )
    return [
        Finding(
            id="test_leakage_by_class",
            severity="info",
            message="Test files that share a group with an original training or validation file, "
            f"by class: {worst_classes}.",
            count=len(affected),
            details={str(label): float(fraction) for label, fraction in leaked["fraction"].items()},
            examples=[[str(label), f"{row['fraction']:.1%}"] for label, row in affected.iterrows()],
            recommendation="Compare classes only on a split without leakage: split.policy=grouped "
            "or split.policy=cleaned.",
        )
    ]


def leakage_by_link_type(context: AuditContext) -> list[Finding]:
    """Count the links between files of different original splits, by type."""
    links = context.links
    across = links[links["same_group"] & across_splits(links)]
    if across.empty:
        return []
    kinds = {str(kind): int(n) for kind, n in across["kind"].value_counts().items()}
    by_type = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items())
    return [
        Finding(
            id="leakage_by_link_type",
            severity="info",
            message=f"Links between files of different original splits, by type: {by_type}.",
            count=len(across),
            details=dict(kinds),
            examples=pair_examples(across),
            recommendation="image_links.parquet lists every link with its kind and strength.",
        )
    ]


def exact_duplicates(context: AuditContext) -> list[Finding]:
    """Report pairs of files with equal bytes."""
    pairs = context.duplicate_pairs
    if pairs.empty:
        return []
    files = int(context.table.duplicated("image_id", keep=False).sum())
    return [
        Finding(
            id="exact_duplicates",
            severity="medium",
            message=f"{files:,} of {len(context.table):,} files are exact duplicates of another "
            f"file ({pluralize(len(pairs), 'pair')}).",
            count=len(pairs),
            details={"pairs": len(pairs), "files": files},
            examples=pair_examples(pairs),
            recommendation="split.policy=grouped uses each image once.",
        )
    ]


def near_duplicates(context: AuditContext) -> list[Finding]:
    """Count the near-duplicate pairs, by kind; the strongest pairs are the examples."""
    pairs = context.near_duplicate_pairs
    if pairs.empty:
        return []
    kinds = {str(kind): int(n) for kind, n in pairs["kind"].value_counts().items()}
    not_grouped = int((~pairs["same_group"]).sum())
    uncertain, removal = "", ""
    if not_grouped:
        uncertain = f" {pluralize(not_grouped, 'pair')} did not merge the groups of the two images."
        removal = (
            " If these are in different splits, split.exclude_uncertain_links=true removes them "
            "from train and val."
        )
    return [
        Finding(
            id="near_duplicates",
            severity="medium",
            message="Near-duplicates with different bytes: "
            f"{pluralize(len(pairs), 'pair')} of images (re-encoded, rotated, cropped, recolored, "
            f"or another image of the same lesion).{uncertain}",
            count=len(pairs),
            details={"pairs": len(pairs), **kinds, "pairs_not_merged": not_grouped},
            examples=pair_examples(pairs.sort_values("strength", ascending=False, kind="stable")),
            recommendation="split.policy=grouped keeps each group in one split. Check the examples "
            f"and image_links.parquet.{removal}",
        )
    ]


def pair_examples(pairs: pd.DataFrame) -> list[list[str]]:
    """Return the two files of each pair."""
    return pairs[["file_a", "file_b"]].to_numpy().tolist()


def files_by(key: str, table: pd.DataFrame) -> list[list[str]]:
    """Return up to four files of each value of a column."""
    return [sorted(files)[:4] for _, files in table.groupby(key)["file"]]
