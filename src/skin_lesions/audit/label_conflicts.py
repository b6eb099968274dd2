"""Label conflicts: duplicates, pixels and groups with more than one label."""

import pandas as pd

from skin_lesions.audit.finding import Finding
from skin_lesions.audit.finding import pluralize as _count
from skin_lesions.audit.leakage import files_by, pair_examples
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS
from skin_lesions.data.splits import has_label_conflict

_RECOMMENDATION = "split.policy=grouped and cleaned leave these pictures out; ask the source which label is right."


def _pixel_identical_label_conflicts(table: pd.DataFrame) -> Finding:
    torn = table[has_label_conflict(table)]
    torn = torn[torn.groupby("pixel_id")["image_id"].transform("nunique") > 1]
    labels = torn.groupby("pixel_id")["label"].agg(lambda names: " / ".join(sorted(set(names))))
    by_labels: dict[str, int | float] = {str(k): int(n) for k, n in labels.value_counts().items()}
    return Finding(
        "pixel_identical_label_conflicts",
        "high",
        f"Under two labels at once, in files whose bytes differ but not their pixels: "
        f"{_count(len(labels), 'picture')} ({_count(len(torn), 'file')}); one of the labels must be wrong.",
        len(labels),
        {"pictures": len(labels), "files": len(torn)} | by_labels,
        files_by("pixel_id", torn),
        _RECOMMENDATION,
    )


def _near_duplicate_label_conflicts(pairs: pd.DataFrame) -> Finding:
    changed = pairs["kind"].ne(NEAR_DUPLICATE_KINDS["pixels"])
    torn = pairs[changed & pairs["label_a"].ne(pairs["label_b"])]
    return Finding(
        "near_duplicate_label_conflicts",
        "medium",
        f"Under two labels although one photograph by what their pixels show: {_count(len(torn), 'pair')} "
        "of pictures that are not equal.",
        len(torn),
        {"pairs": len(torn)} | _by_labels(torn),
        pair_examples(torn),
        "Nothing is left out for this. Look at them: one of the labels is wrong, or they are two "
        "photographs that look alike.",
    )


def _exact_duplicate_label_conflicts(pairs: pd.DataFrame) -> Finding:
    torn = pairs[pairs["label_a"].ne(pairs["label_b"])]
    images = int(torn["image_id_a"].nunique())
    return Finding(
        "exact_duplicate_label_conflicts",
        "high",
        f"Under two labels at once: {_count(images, 'picture')} ({_count(len(torn), 'pair')} of exact "
        "copies); one of the labels must be wrong.",
        len(torn),
        {"pairs": len(torn), "images": images} | _by_labels(torn),
        pair_examples(torn),
        _RECOMMENDATION,
    )


def _by_labels(pairs: pd.DataFrame) -> dict[str, int | float]:
    names = [" / ".join(sorted(two)) for two in pairs[["label_a", "label_b"]].to_numpy()]
    return {str(name): int(n) for name, n in pd.Series(names, dtype=object).value_counts().items()}


def _groups_with_multiple_labels(table: pd.DataFrame) -> Finding:
    alone = table[~has_label_conflict(table)]
    torn = alone[alone.groupby("group_id")["label"].transform("nunique") > 1]
    groups = int(torn["group_id"].nunique())
    return Finding(
        "groups_with_multiple_labels",
        "low",
        f"Besides pictures under two labels, {_count(groups, 'group')} of pictures that belong together "
        "have several labels: one patient with two diseases, or a mistake.",
        groups,
        {"groups": groups, "files": len(torn)},
        files_by("group_id", torn),
        "Nothing is left out for this; each such group stays in one split.",
    )
