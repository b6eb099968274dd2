"""Label conflicts: duplicates, pixels and groups with more than one label."""

import pandas as pd

from skin_lesions.audit.finding import Finding
from skin_lesions.audit.finding import counted as _count
from skin_lesions.audit.leakage import _examples, _files_by
from skin_lesions.data.groups import COPIES
from skin_lesions.data.splits import under_two_labels

_LEFT_OUT = "split.policy=grouped and repaired leave these pictures out; ask the source which label is right."


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
