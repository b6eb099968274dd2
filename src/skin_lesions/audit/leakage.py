"""What is wrong with a set of images: findings, counted, with examples and a remedy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from skin_lesions.audit.class_counts import equal_class_counts, repeated_class_counts, small_classes
from skin_lesions.audit.finding import SEVERITIES, Finding
from skin_lesions.audit.finding import counted as _count
from skin_lesions.config.parameters import Audit, Split
from skin_lesions.core.errors import InputError, shown
from skin_lesions.data.groups import COPIES, across_splits, join_groups, with_ends
from skin_lesions.data.splits import leaked_tests, under_two_labels

_LEFT_OUT = "split.policy=grouped and repaired leave these pictures out; ask the source which label is right."


def find(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    split: Split,
    audit: Audit,
    more: Sequence[Finding] = (),
) -> dict[str, Any]:
    """Look for copies, contradictions and leaks.

    Args:
        image_table: One row per readable file.
        image_groups: group_id and picture_id of every such file.
        image_links: What links which files, as ``group_images`` gives it.
        quarantine: file and reason of what could not be read.
        split: The split to come; says how many test images a class will have.
        audit: How many examples each finding shows, and which classes count as small.
        more: Findings from elsewhere, such as of the pixels.

    Returns:
        ``summary`` (counts of files, images, groups, classes, quarantined; the largest groups) and
        ``findings``, the gravest first; a finding that counts nothing is left out.
    """
    table = join_groups(image_table, image_groups).reset_index(drop=True)
    pairs = _pairs_of_copies(table)
    links = with_ends(image_links, table[["file", "label", "shipped_split"]])
    by_pixels = links[links["kind"].isin(COPIES.values())]
    candidates = [
        _copies_across_splits(pairs),
        _groups_across_splits(table),
        _leaks_by_class(table),
        _leaks_by_evidence(links),
        _copies_under_two_labels(pairs),
        _pixels_under_two_labels(table),
        _changed_copies_under_two_labels(by_pixels),
        _groups_under_two_labels(table),
        _copies(table, pairs),
        _copies_by_pixels(by_pixels),
        _quarantined(quarantine),
        _without_test_images(table),
        repeated_class_counts(image_table),
        equal_class_counts(image_table),
        small_classes(image_table, image_groups, split, audit.widest_interval),
        *more,
    ]
    findings = [finding for finding in candidates if finding.count]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return {
        "summary": {
            "files": len(table) + len(quarantine),
            "images": int(table["image_id"].nunique()),
            "groups": int(table["group_id"].nunique()),
            "classes": int(table["label"].nunique()),
            "quarantined": len(quarantine),
            "largest_groups": [int(n) for n in table["group_id"].value_counts().head(5)],
        },
        "findings": [asdict(f) | {"examples": f.examples[: audit.examples]} for f in findings],
    }


def refuse_findings(
    audit_findings: Mapping[str, Any],
    image_table_version: str,
    fail_on: Literal["never", "high", "medium", "low"],
) -> None:
    """Stop if a finding is as grave as ``audit.fail_on`` says, or graver.

    Raises:
        InputError: There is one; the text tells the gravest. Or the findings are about other images.
    """
    if fail_on == "never":
        return
    if audit_findings["image_table_version"] != image_table_version:
        raise InputError(
            f"audit.fail_on={fail_on}, but the findings are about image_table version "
            f"{audit_findings['image_table_version']}, and this is {image_table_version}; audit it with: "
            "kedro run --pipelines audit,preprocess (same --env and --params)"
        )
    grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    found = [f for f in audit_findings["findings"] if f["severity"] in grave]
    if found:
        raise InputError(
            f"audit.fail_on={fail_on}, and the audit found {_count(len(found), 'such thing')}. First: "
            f"{shown(found[0]['sentence'])} What to do: {shown(found[0]['remedy'])} All of them stand in "
            "audit_findings.json; to go on nevertheless: --params audit.fail_on=never"
        )


def _copies_by_pixels(pairs: pd.DataFrame) -> Finding:
    kinds = {str(kind): int(n) for kind, n in pairs["kind"].value_counts().items()}
    apart = int((~pairs["joined"]).sum())
    return Finding(
        "copies_by_pixels",
        "medium",
        f"Other bytes, but one photograph: {_count(len(pairs), 'pair')} of pictures (re-encoded, turned, "
        "cropped, recoloured, or taken once more of one lesion).",
        len(pairs),
        {"pairs": len(pairs), **kinds, "pairs not joined for want of a second": apart},
        _examples(pairs.sort_values("strength", ascending=False, kind="stable")),
        "split.policy=grouped keeps them in one split; look at the examples, and at image_links.parquet.",
    )


def _pixels_under_two_labels(table: pd.DataFrame) -> Finding:
    torn = table[under_two_labels(table)]
    torn = torn[torn.groupby("picture_id")["image_id"].transform("nunique") > 1]
    labels = torn.groupby("picture_id")["label"].agg(lambda names: " / ".join(sorted(set(names))))
    by_labels: dict[str, int | float] = {str(k): int(n) for k, n in labels.value_counts().items()}
    return Finding(
        "same_pixels_under_two_labels",
        "high",
        f"Under two labels at once, in files whose bytes differ but not their pixels: "
        f"{_count(len(labels), 'picture')} ({_count(len(torn), 'file')}); one of the labels must be wrong.",
        len(labels),
        {"pictures": len(labels), "files": len(torn)} | by_labels,
        _files_by("picture_id", torn),
        _LEFT_OUT,
    )


def _changed_copies_under_two_labels(pairs: pd.DataFrame) -> Finding:
    changed = pairs["kind"].ne(COPIES["pixels"])
    torn = pairs[changed & pairs["label_a"].ne(pairs["label_b"])]
    return Finding(
        "copies_by_pixels_under_two_labels",
        "medium",
        f"Under two labels although one photograph by what their pixels show: {_count(len(torn), 'pair')} "
        "of pictures that are not equal.",
        len(torn),
        {"pairs": len(torn)} | _by_labels(torn),
        _examples(torn),
        "Nothing is left out for this. Look at them: one of the labels is wrong, or they are two "
        "photographs that look alike.",
    )


def _leaks_by_class(table: pd.DataFrame) -> Finding:
    tests = table[table["shipped_split"].eq("test")]
    leaked = leaked_tests(table)[tests.index].groupby(tests["label"]).agg(["sum", "size"])
    leaked = leaked.assign(share=leaked["sum"] / leaked["size"]).sort_values(
        ["share", "sum"], ascending=False
    )
    torn = leaked[leaked["sum"] > 0]
    told = "; ".join(
        f"{label} {int(row['sum']):,} of {int(row['size']):,}"
        for label, row in torn.head(3).iterrows()
    )
    return Finding(
        "leaked_test_share_by_class",
        "medium",
        f"Test files with a mate in the shipped train or val, by class: {told}.",
        len(torn),
        {str(label): float(share) for label, share in leaked["share"].items()},
        [[str(label), f"{row['share']:.1%}"] for label, row in torn.iterrows()],
        "Compare classes only on a split without leaks: split.policy=grouped or repaired.",
    )


def _leaks_by_evidence(links: pd.DataFrame) -> Finding:
    across = links[links["joined"] & across_splits(links)]
    kinds = {str(kind): int(n) for kind, n in across["kind"].value_counts().items()}
    told = ", ".join(f"{kind} {n:,}" for kind, n in kinds.items())
    return Finding(
        "leaks_by_evidence",
        "info",
        f"What links files across the shipped splits (links, by evidence): {told}.",
        len(across),
        dict(kinds),
        _examples(across),
        "image_links.parquet lists every link with its kind and strength.",
    )


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
    across = pairs[across_splits(pairs)]
    return Finding(
        "exact_copies_across_splits",
        "high",
        f"Across the shipped splits, {_count(len(across), 'pair')} of files are exact copies.",
        len(across),
        {"pairs": len(across)},
        _examples(across),
        "split.policy=grouped; numbers from split.policy=as_shipped are too good.",
    )


def _copies_under_two_labels(pairs: pd.DataFrame) -> Finding:
    torn = pairs[pairs["label_a"].ne(pairs["label_b"])]
    images = int(torn["image_id_a"].nunique())
    return Finding(
        "exact_copies_under_two_labels",
        "high",
        f"Under two labels at once: {_count(images, 'picture')} ({_count(len(torn), 'pair')} of exact "
        "copies); one of the labels must be wrong.",
        len(torn),
        {"pairs": len(torn), "images": images} | _by_labels(torn),
        _examples(torn),
        _LEFT_OUT,
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
        _files_by("group_id", torn),
        "split.policy=grouped keeps every group in one split; scores as shipped are too good.",
    )


def _groups_under_two_labels(table: pd.DataFrame) -> Finding:
    alone = table[~under_two_labels(table)]
    torn = alone[alone.groupby("group_id")["label"].transform("nunique") > 1]
    groups = int(torn["group_id"].nunique())
    return Finding(
        "groups_under_two_labels",
        "low",
        f"Besides pictures under two labels, {_count(groups, 'group')} of pictures that belong together "
        "have several labels: one patient with two diseases, or a mistake.",
        groups,
        {"groups": groups, "files": len(torn)},
        _files_by("group_id", torn),
        "Nothing is left out for this; each such group stays in one split.",
    )


def _files_by(key: str, table: pd.DataFrame) -> list[list[str]]:
    return [sorted(files)[:4] for _, files in table.groupby(key)["file"]]


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
