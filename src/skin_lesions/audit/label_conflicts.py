"""Label conflicts: duplicates, pixels and groups with more than one label."""

import pandas as pd

from skin_lesions.audit.finding import Finding
from skin_lesions.audit.leakage import files_by, pair_examples
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS
from skin_lesions.data.splits import has_label_conflict

_RECOMMENDATION = (
    "split.policy=grouped and split.policy=cleaned leave these images out. "
    "Ask the source which label is correct."
)


def _pixel_identical_label_conflicts(table: pd.DataFrame) -> Finding:
    conflicting = table[has_label_conflict(table)]
    # Only one image_id per pixel_id: these files are exact duplicates, a finding of their own.
    conflicting = conflicting[conflicting.groupby("pixel_id")["image_id"].transform("nunique") > 1]
    labels = conflicting.groupby("pixel_id")["label"].agg(
        lambda names: " / ".join(sorted(set(names)))
    )
    by_labels: dict[str, int | float] = {str(k): int(n) for k, n in labels.value_counts().items()}
    return Finding(
        "pixel_identical_label_conflicts",
        "high",
        "Images with identical pixels but different bytes have conflicting labels: "
        f"{pluralize(len(labels), 'image')} ({pluralize(len(conflicting), 'file')}). "
        "One of the labels must be wrong.",
        len(labels),
        {"images": len(labels), "files": len(conflicting)} | by_labels,
        files_by("pixel_id", conflicting),
        _RECOMMENDATION,
    )


def _near_duplicate_label_conflicts(pairs: pd.DataFrame) -> Finding:
    changed = pairs["kind"].ne(NEAR_DUPLICATE_KINDS["pixels"])
    conflicting = pairs[changed & pairs["label_a"].ne(pairs["label_b"])]
    return Finding(
        "near_duplicate_label_conflicts",
        "medium",
        "Near-duplicates whose pixels are not identical have conflicting labels: "
        f"{pluralize(len(conflicting), 'pair')} of images.",
        len(conflicting),
        {"pairs": len(conflicting)} | _by_labels(conflicting),
        pair_examples(conflicting),
        "No images are left out because of this. Check the pairs: one of the labels is wrong, "
        "or the two images only look alike.",
    )


def _exact_duplicate_label_conflicts(pairs: pd.DataFrame) -> Finding:
    conflicting = pairs[pairs["label_a"].ne(pairs["label_b"])]
    images = int(conflicting["image_id_a"].nunique())
    return Finding(
        "exact_duplicate_label_conflicts",
        "high",
        f"Exact duplicates have conflicting labels: {pluralize(images, 'image')} "
        f"({pluralize(len(conflicting), 'pair')} of files). One of the labels must be wrong.",
        len(conflicting),
        {"pairs": len(conflicting), "images": images} | _by_labels(conflicting),
        pair_examples(conflicting),
        _RECOMMENDATION,
    )


def _by_labels(pairs: pd.DataFrame) -> dict[str, int | float]:
    names = [" / ".join(sorted(two)) for two in pairs[["label_a", "label_b"]].to_numpy()]
    return {str(name): int(n) for name, n in pd.Series(names, dtype=object).value_counts().items()}


def _groups_with_multiple_labels(table: pd.DataFrame) -> Finding:
    consistent = table[~has_label_conflict(table)]
    conflicting = consistent[consistent.groupby("group_id")["label"].transform("nunique") > 1]
    groups = int(conflicting["group_id"].nunique())
    return Finding(
        "groups_with_multiple_labels",
        "low",
        f"Images of {pluralize(groups, 'group')} have different labels, not counting images with "
        "conflicting labels. The cause is a patient with two diseases, or a labeling error.",
        groups,
        {"groups": groups, "files": len(conflicting)},
        files_by("group_id", conflicting),
        "No images are left out because of this. Each of these groups stays in one split.",
    )
