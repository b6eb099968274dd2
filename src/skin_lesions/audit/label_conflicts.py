"""Label conflicts: duplicates, pixels and groups with more than one label."""

from collections.abc import Iterable

import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.audit.leakage import files_by, pair_examples
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS
from skin_lesions.data.splits import has_label_conflict

_RECOMMENDATION = (
    "split.policy=grouped and split.policy=cleaned leave these images out. "
    "Ask the source which label is correct."
)


def exact_duplicate_label_conflicts(context: AuditContext) -> list[Finding]:
    """Report pairs of files with equal bytes and different labels."""
    pairs = context.duplicate_pairs
    conflicting = pairs[pairs["label_a"].ne(pairs["label_b"])]
    if conflicting.empty:
        return []
    images = conflicting["image_id_a"].nunique()
    return [
        Finding(
            id="exact_duplicate_label_conflicts",
            severity="high",
            message=f"Exact duplicates have conflicting labels: {pluralize(images, 'image')} "
            f"({pluralize(len(conflicting), 'pair')} of files). One of the labels must be wrong.",
            count=len(conflicting),
            details={"pairs": len(conflicting), "images": images} | _pairs_by_labels(conflicting),
            examples=pair_examples(conflicting),
            recommendation=_RECOMMENDATION,
        )
    ]


def pixel_identical_label_conflicts(context: AuditContext) -> list[Finding]:
    """Report images with equal pixels, but different bytes and different labels."""
    conflicting = context.table[has_label_conflict(context.table)]
    # Only one image_id per pixel_id: these files are exact duplicates, a finding of their own.
    conflicting = conflicting[conflicting.groupby("pixel_id")["image_id"].transform("nunique") > 1]
    if conflicting.empty:
        return []
    labels_of_image = [set(labels) for _, labels in conflicting.groupby("pixel_id")["label"]]
    images = len(labels_of_image)
    return [
        Finding(
            id="pixel_identical_label_conflicts",
            severity="high",
            message="Images with identical pixels but different bytes have conflicting labels: "
            f"{pluralize(images, 'image')} ({pluralize(len(conflicting), 'file')}). "
            "One of the labels must be wrong.",
            count=images,
            details={"images": images, "files": len(conflicting)}
            | _count_by_labels(labels_of_image),
            examples=files_by("pixel_id", conflicting),
            recommendation=_RECOMMENDATION,
        )
    ]


def near_duplicate_label_conflicts(context: AuditContext) -> list[Finding]:
    """Report near-duplicates with different pixels and different labels."""
    pairs = context.near_duplicate_pairs
    changed = pairs["kind"].ne(NEAR_DUPLICATE_KINDS["pixels"])
    conflicting = pairs[changed & pairs["label_a"].ne(pairs["label_b"])]
    if conflicting.empty:
        return []
    return [
        Finding(
            id="near_duplicate_label_conflicts",
            severity="medium",
            message="Near-duplicates whose pixels are not identical have conflicting labels: "
            f"{pluralize(len(conflicting), 'pair')} of images.",
            count=len(conflicting),
            details={"pairs": len(conflicting)} | _pairs_by_labels(conflicting),
            examples=pair_examples(conflicting),
            recommendation="No images are left out because of this. Check the pairs: one of the "
            "labels is wrong, or the two images only look alike.",
        )
    ]


def groups_with_multiple_labels(context: AuditContext) -> list[Finding]:
    """Report groups whose images have different labels, without the label conflicts above."""
    consistent = context.table[~has_label_conflict(context.table)]
    conflicting = consistent[consistent.groupby("group_id")["label"].transform("nunique") > 1]
    if conflicting.empty:
        return []
    groups = conflicting["group_id"].nunique()
    return [
        Finding(
            id="groups_with_multiple_labels",
            severity="low",
            message=f"Images of {pluralize(groups, 'group')} have different labels, not counting "
            "images with conflicting labels. The cause is a patient with two diseases, or a "
            "labeling error.",
            count=groups,
            details={"groups": groups, "files": len(conflicting)},
            examples=files_by("group_id", conflicting),
            recommendation="No images are left out because of this. Each of these groups stays in "
            "one split.",
        )
    ]


def _pairs_by_labels(pairs: pd.DataFrame) -> dict[str, int | float]:
    return _count_by_labels(set(labels) for labels in pairs[["label_a", "label_b"]].to_numpy())


def _count_by_labels(labels: Iterable[set[str]]) -> dict[str, int | float]:
    """Count each combination of labels, such as ``mel / nv``; the most frequent first."""
    names = pd.Series([" / ".join(sorted(names)) for names in labels], dtype=object)
    return {str(name): int(n) for name, n in names.value_counts().items()}
