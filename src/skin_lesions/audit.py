"""What is wrong with a set of images: findings, counted, with examples and a remedy."""

from collections.abc import Iterable
from dataclasses import asdict
from itertools import combinations
from typing import Any

import pandas as pd

from skin_lesions.findings import Finding, Severity
from skin_lesions.findings import counted as _count
from skin_lesions.splitting import leaked_tests, under_two_labels


def find(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    quarantine: pd.DataFrame,
    max_examples: int,
) -> dict[str, Any]:
    """Look for copies, contradictions and leaks.

    Args:
        image_table: One row per readable file.
        image_groups: group_id and evidence of every such file.
        quarantine: file and reason of what could not be read.
        max_examples: How many examples each finding shows.

    Returns:
        ``summary`` (counts of files, images, groups, classes, quarantined) and ``findings``, the
        gravest first; a finding that counts nothing is left out.
    """
    table = image_table.merge(image_groups[["file", "group_id", "evidence"]], on="file")
    pairs = _pairs_of_copies(table)
    candidates = [
        _copies_across_splits(pairs),
        _groups_across_splits(table),
        _copies_under_two_labels(table, pairs),
        _groups_under_two_labels(table),
        _copies(table, pairs),
        _quarantined(quarantine),
        _without_test_images(table),
    ]
    findings = [finding for finding in candidates if finding.count]
    order: list[Severity] = ["high", "medium", "low", "info"]
    findings.sort(key=lambda finding: order.index(finding.severity))
    return {
        "summary": {
            "files": len(table) + len(quarantine),
            "images": int(table["image_id"].nunique()),
            "groups": int(table["group_id"].nunique()),
            "classes": int(table["label"].nunique()),
            "quarantined": len(quarantine),
        },
        "findings": [asdict(f) | {"examples": f.examples[:max_examples]} for f in findings],
    }


def _pairs_of_copies(table: pd.DataFrame) -> pd.DataFrame:
    """List all pairs of files with equal bytes: columns ``<name>_a`` and ``<name>_b``."""
    repeated = table[table.duplicated("image_id", keep=False)].sort_values("file")
    indices = [
        pair for _, rows in repeated.groupby("image_id") for pair in combinations(rows.index, 2)
    ]
    first = table.loc[[a for a, _ in indices]].reset_index(drop=True).add_suffix("_a")
    second = table.loc[[b for _, b in indices]].reset_index(drop=True).add_suffix("_b")
    return pd.concat([first, second], axis=1)


def _examples(pairs: pd.DataFrame) -> list[list[str]]:
    return pairs[["file_a", "file_b"]].to_numpy().tolist()


def _copies(table: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    files = int(table.duplicated("image_id", keep=False).sum())
    return Finding(
        "exact_copies",
        "medium",
        f"{files:,} of {len(table):,} files stand more than once, byte for byte "
        f"({_count(len(pairs), 'pair')}).",
        len(pairs),
        {"pairs": len(pairs), "files": files},
        _examples(pairs),
        "split.policy=grouped keeps each picture once.",
    )


def _copies_across_splits(pairs: pd.DataFrame) -> Finding:
    known = pairs["shipped_split_a"].notna() & pairs["shipped_split_b"].notna()
    across = pairs[known & pairs["shipped_split_a"].ne(pairs["shipped_split_b"])]
    return Finding(
        "exact_copies_across_splits",
        "high",
        f"Across the shipped splits, {_count(len(across), 'pair')} of files are exact copies.",
        len(across),
        {"pairs": len(across)},
        _examples(across),
        "split.policy=grouped; numbers from split.policy=as_shipped are too good.",
    )


def _copies_under_two_labels(table: pd.DataFrame, pairs: pd.DataFrame) -> Finding:
    torn = pairs[pairs["label_a"].ne(pairs["label_b"])]
    images = int(table.loc[under_two_labels(table), "image_id"].nunique())
    return Finding(
        "exact_copies_under_two_labels",
        "high",
        f"Under two labels at once: {_count(images, 'picture')} ({_count(len(torn), 'pair')} of exact "
        "copies); one of the labels must be wrong.",
        len(torn),
        {"pairs": len(torn), "images": images} | _by_labels(torn),
        _examples(torn),
        "split.policy=grouped leaves these pictures out; ask the source which label is right.",
    )


def _by_labels(pairs: pd.DataFrame) -> dict[str, int | float]:
    names = [" / ".join(sorted(two)) for two in pairs[["label_a", "label_b"]].to_numpy()]
    return {str(name): int(n) for name, n in pd.Series(names, dtype=object).value_counts().items()}


def _groups_across_splits(table: pd.DataFrame) -> Finding:
    shipped = table[table["shipped_split"].notna()]
    torn = shipped[shipped.groupby("group_id")["shipped_split"].transform("nunique") > 1]
    tests, leaked = int(shipped["shipped_split"].eq("test").sum()), int(leaked_tests(torn).sum())
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
        _files_by_group(torn),
        "split.policy=grouped keeps every group in one split; scores as shipped are too good.",
    )


def _groups_under_two_labels(table: pd.DataFrame) -> Finding:
    alone = table[~under_two_labels(table)]
    torn = alone[alone.groupby("group_id")["label"].transform("nunique") > 1]
    groups = int(torn["group_id"].nunique())
    return Finding(
        "groups_under_two_labels",
        "low",
        f"Besides exact copies, {_count(groups, 'group')} of pictures that belong together "
        "have several labels: one patient with two diseases, or a mistake.",
        groups,
        {"groups": groups, "files": len(torn)},
        _files_by_group(torn),
        "Nothing is left out for this; each such group stays in one split.",
    )


def _files_by_group(table: pd.DataFrame) -> list[list[str]]:
    return [sorted(files)[:4] for _, files in table.groupby("group_id")["file"]]


def _quarantined(quarantine: pd.DataFrame) -> Finding:
    rows = quarantine[["file", "reason"]].to_numpy().tolist()
    return Finding(
        "unreadable_files",
        "medium",
        f"Left out, since they can't be used: {_count(len(quarantine), 'file')}.",
        len(quarantine),
        {"files": len(quarantine)},
        rows,
        "quarantine.csv names each file and the reason.",
    )


def _without_test_images(table: pd.DataFrame) -> Finding:
    shipped = table[table["shipped_split"].notna()]
    tested = set(shipped.loc[shipped["shipped_split"].eq("test"), "label"])
    untested = sorted(set(shipped["label"]) - tested) if tested else []
    return Finding(
        "classes_without_shipped_test",
        "medium",
        f"Without any file in the shipped test split: {_count(len(untested), 'class', 'classes')}.",
        len(untested),
        {"classes": len(untested)},
        [[label] for label in untested],
        "Under as_shipped nothing can be said of these classes; split.policy=grouped tests them.",
    )


def summary_sentences(findings: dict[str, Any]) -> Iterable[str]:
    """Tell an audit in a few lines: what there is, then the grave findings."""
    counts = findings["summary"]
    yield (
        f"{counts['files']:,} files, {counts['images']:,} different pictures in {counts['groups']:,} "
        f"groups, {counts['classes']} classes; {counts['quarantined']} quarantined"
    )
    for finding in findings["findings"]:
        if finding["severity"] == "high":
            yield finding["sentence"]
