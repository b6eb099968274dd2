"""List of the files to drop, merge or check in a source folder, with the reason for each file."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from skin_lesions.audit.image_quality import QualityFault
from skin_lesions.data.file_selection import retained_pairs
from skin_lesions.data.groups import link_values
from skin_lesions.data.image_table import NO_LABEL
from skin_lesions.data.splits import has_label_conflict

# The first action of a file is listed.
ACTIONS = ("drop", "check", "merge")
COLUMNS = ["file", "action", "reason", "related_file", "group_id", "split"]

_MAX_REASONS = 3  # listed for one file; an image with a ruler may be similar to many others


class Entry(NamedTuple):
    """A reason to act on a file.

    Attributes:
        file: The file.
        action: One of ``ACTIONS``.
        reason: What is wrong.
        related_file: The file that remains in its place, or that it is similar to; may be empty.
    """

    file: str
    action: str
    reason: str
    related_file: str = ""


def list_files(
    selected: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    faults: Sequence[QualityFault],
) -> pd.DataFrame:
    """List the files that need attention.

    - ``drop``: exact duplicates, images with identical pixels, unreadable files, and files that are
      left out because related images are in another split.
    - ``check``: label conflicts, near-duplicates and lesions with several labels, near-duplicates
      that were not accepted for grouping, and suspicious images.
    - ``merge``: near-duplicates with the same label. They belong to one lesion.

    Args:
        selected: Result of ``select_files``.
        image_links: The links between the files.
        quarantine: Unusable files: file and reason.
        faults: Result of ``find_quality_faults``.

    Returns:
        One row per file, as text: file, action, reason (all of them), related_file, group_id and
        split (empty for files that a cleaned copy does not contain). Sorted by action and file.
    """
    entries = [
        *_left_out(selected),
        *_unusable(quarantine),
        *_near_duplicates(selected, image_links),
        *_lesions_with_several_labels(selected),
    ]
    dropped = {entry.file for entry in entries if entry.action == "drop"}
    entries += (entry for entry in _suspicious(faults) if entry.file not in dropped)
    return _combine(entries, selected)


def _left_out(selected: pd.DataFrame) -> Iterator[Entry]:
    """Yield the readable files that a cleaned copy does not contain."""
    is_conflict = has_label_conflict(selected)
    yield from _label_conflicts(selected[is_conflict])
    left_out = selected[selected["split"].isna() & ~is_conflict]
    columns = ["image_id", "pixel_id", "split"]
    related = selected.set_index("file")[columns].reindex(left_out["related_file"])
    is_exact = related["image_id"].to_numpy() == left_out["image_id"].to_numpy()
    is_identical = related["pixel_id"].to_numpy() == left_out["pixel_id"].to_numpy()
    for file, name, split, exact, identical in zip(
        left_out["file"],
        left_out["related_file"].fillna(""),
        related["split"],
        is_exact,
        is_identical,
        strict=True,
    ):
        if not name:
            reason = "left out of the split because of a possible near-duplicate in another split"
        elif exact:
            reason = f"exact duplicate of {name}"
        elif identical:
            reason = f"identical pixels, but other bytes than {name}"
        else:
            reason = f"related to {name}, which is in {split}"
        yield Entry(file, "drop", reason, name)


def _label_conflicts(conflicting: pd.DataFrame) -> Iterator[Entry]:
    """Yield each file with a file of another label and the same pixels."""
    for _, files in conflicting.groupby("pixel_id", sort=False):
        for file, label, other, other_label in _other_labels(files):
            reason = (
                f"conflicting labels: {label}, but {other} with identical pixels is labeled "
                f"{other_label}"
            )
            yield Entry(file, "check", reason, other)


def _other_labels(files: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    """Yield each file with its label, and the first file with another label."""
    rows = list(zip(files["file"], files["label"], strict=True))
    for file, label in rows:
        others = ((name, found) for name, found in rows if found != label)
        other, other_label = next(others, (None, None))
        if other is not None and other_label is not None:
            yield file, label, other, other_label


def _unusable(quarantine: pd.DataFrame) -> Iterator[Entry]:
    for file, reason in quarantine[["file", "reason"]].itertuples(index=False):
        if reason == NO_LABEL:
            yield Entry(file, "check", reason)
        else:
            yield Entry(file, "drop", f"unreadable: {reason}")


def _near_duplicates(selected: pd.DataFrame, image_links: pd.DataFrame) -> Iterator[Entry]:
    """Yield near-duplicates: the second of two files, or both if a person must decide."""
    rows = selected[selected["split"].notna()]
    pairs = retained_pairs(selected, rows, image_links)
    files = rows["file"].tolist()
    labels = rows["label"].tolist()
    splits = rows["split"].tolist()
    for a, b, strength, same_group in pairs[["a", "b", "strength", "same_group"]].itertuples(
        index=False
    ):
        certainty = f"(strength {strength:.2f})"
        for own, other in ((b, a), (a, b)):
            name = files[other]
            if not same_group:
                reason = f"possible near-duplicate of {name} {certainty}, not in the same group"
                if splits[own] != splits[other]:
                    reason += f", but in {splits[other]}"
                yield Entry(files[own], "check", reason, name)
            elif labels[own] != labels[other]:
                reason = (
                    f"conflicting labels: {labels[own]}, but near-duplicate of {name} {certainty}, "
                    f"which is labeled {labels[other]}"
                )
                yield Entry(files[own], "check", reason, name)
            elif own == b:  # the files are sorted, so the first one remains the reference
                yield Entry(files[own], "merge", f"near-duplicate of {name} {certainty}", name)


def _lesions_with_several_labels(selected: pd.DataFrame) -> Iterator[Entry]:
    rows = selected[selected["split"].notna()]
    if "lesion_id" not in rows:
        return
    lesion = link_values(rows, "lesion_id")
    for name, files in rows.groupby(lesion):
        for file, label, other, other_label in _other_labels(files):
            reason = (
                f"conflicting labels: {label}, but {other} of the same lesion ({name}) is labeled "
                f"{other_label}"
            )
            yield Entry(file, "check", reason, other)


def _suspicious(faults: Sequence[QualityFault]) -> Iterator[Entry]:
    for fault in faults:
        for file, measurement in zip(fault.files, fault.measurements, strict=True):
            yield Entry(file, "check", f"suspicious: {fault.description} ({measurement})")


def _join_reasons(reasons: pd.Series) -> str:
    listed = list(dict.fromkeys(reasons))
    more = f"; and {len(listed) - _MAX_REASONS} more" if len(listed) > _MAX_REASONS else ""
    return "; ".join(listed[:_MAX_REASONS]) + more


def _combine(entries: Iterable[Entry], selected: pd.DataFrame) -> pd.DataFrame:
    """Combine the entries of each file into one row."""
    table = pd.DataFrame(entries, columns=Entry._fields, dtype=object)
    rank = table["action"].map(ACTIONS.index)
    by_file = table.assign(rank=rank).sort_values(["rank", "file"], kind="stable").groupby("file")
    rows = by_file.agg(
        action=("action", "first"),
        reason=("reason", _join_reasons),
        related_file=("related_file", "first"),
        rank=("rank", "first"),
    ).reset_index()
    known = selected.set_index("file").reindex(rows["file"])
    rows["group_id"] = known["group_id"].fillna("").to_numpy()
    rows["split"] = known["split"].fillna("").to_numpy()
    return rows.sort_values(["rank", "file"])[COLUMNS].reset_index(drop=True)
