"""What each figure shows, in one sentence: its title, and its alternative text on a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skin_lesions.audit.finding import pluralize
from skin_lesions.data.groups import across_splits

NBSP = "\u00a0"


def percent(share: float) -> str:
    """Write a share in whole percent, never rounding up to all or down to none.

    The space before the sign doesn't break.

    >>> [percent(share).replace(NBSP, " ") for share in (0.714, 0.999, 0.001, 1.0)]
    ['71 %', '>99 %', '<1 %', '100 %']
    """
    rounded = round(100 * share)
    if rounded >= 100 and share < 1:
        return f">99{NBSP}%"
    if rounded <= 0 and share > 0:
        return f"<1{NBSP}%"
    return f"{rounded}{NBSP}%"


def confusion(metrics: Mapping[str, Any]) -> str:
    """Name the share that is right and the most frequent error."""
    part = metrics["test"]
    counts = np.array(part["confusion"]["counts"])
    classes = part["confusion"]["classes"]
    n, right = int(counts.sum()), int(np.trace(counts))
    start = f"Test: {percent(right / n)} right ({right:,} of {n:,})"
    wrong = counts - np.diag(np.diag(counts))
    if right == n:
        return start
    true, called = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return (
        f"{start}; most often {classes[true]} is taken for {classes[called]} "
        f"({wrong[true, called]:,} of {counts[true].sum():,})"
    )


def recall(metrics: Mapping[str, Any]) -> str:
    """Name the class that is found most and the one that is found least."""
    per_class = metrics["test"]["per_class"]
    known = {k: v for k, v in per_class.items() if v["recall"]["value"] is not None}
    if not known:
        return "Test: no class has images"
    order = [name for name in by_recall(per_class) if name in known]
    best, worst = order[0], order[-1]
    if known[worst]["recall"]["value"] == known[best]["recall"]["value"]:
        return f"Test: every class is found equally often ({_found(known[best])})"
    return (
        f"Test: {best} is found most often ({_found(known[best])}), "
        f"{worst} least often ({_found(known[worst])})"
    )


def by_recall(per_class: Mapping[str, Any]) -> list[str]:
    """List the classes, the most often found first; of equals the one with more images.

    Classes without images come last.
    """

    def key(name: str) -> tuple[float, int]:
        value = per_class[name]["recall"]["value"]
        return (-1.0 if value is None else value, per_class[name]["support"])

    return sorted(per_class, key=key, reverse=True)


def _found(row: Mapping[str, Any]) -> str:
    return f"{percent(row['recall']['value'])}, {row['correct']:,} of {row['support']:,}"


def loss(history: pd.DataFrame) -> str:
    """Name the epoch that was kept and the one with the lowest validation loss."""
    best = history[history["best"]].iloc[0]
    accuracies = (
        f"validation accuracy {percent(best['val_accuracy'])}, "
        f"balanced accuracy {percent(best['val_balanced_accuracy'])}"
    )
    if len(history) == 1:
        return f"One epoch: {accuracies}"
    lowest = int(history.sort_values("val_loss", kind="stable")["epoch"].iloc[0])
    also = "it also has" if lowest == best["epoch"] else f"epoch {lowest} has"
    return (
        f"Epoch {int(best['epoch'])} of {len(history)} is kept: {accuracies}; "
        f"{also} the lowest validation loss"
    )


def calibration(metrics: Mapping[str, Any]) -> str:
    """Tell how far confidence and share correct lie apart."""
    error = metrics["test"]["expected_calibration_error"]
    if error["value"] is None:
        return "Test: the calibration error can't be computed"
    return (
        f"Test: the confidence that the model states is off by {100 * error['value']:.1f} points on "
        "average"
    )


def class_counts(image_table: pd.DataFrame) -> str:
    """Name the largest and the smallest class."""
    counts = image_table["label"].value_counts().sort_index(kind="stable")
    counts = counts.sort_values(ascending=False, kind="stable")
    most, fewest = int(counts.iloc[0]), int(counts.iloc[-1])
    start = f"{len(counts)} classes, {counts.sum():,} files"
    if most == fewest:
        return f"{start}: {most:,} of each class"
    return (
        f"{start}: {counts.index[0]} has the most ({most:,}), "
        f"{counts.index[-1]} the fewest ({fewest:,})"
    )


def samples(image_table: pd.DataFrame, per_class: int | None = None) -> str:
    """Tell what the sheet shows, and which classes have too few images to fill it."""
    images = image_table.groupby("label")["image_id"].nunique()
    if per_class is None or per_class == 1:
        what = "Some images" if per_class is None else "One image"
        return f"{what} of each of the {len(images)} classes"
    few = images[images < per_class]
    start = f"{per_class} different images of each of the {len(images)} classes"
    if few.empty:
        return start
    if len(few) > 3:
        return f"Up to {start}; {len(few)} classes have fewer"
    return f"Up to {start}; fewer of {', '.join(few.index)}"


def pairs(pairs: pd.DataFrame) -> str:
    """Count the links between files, and those across splits and under two labels."""
    if pairs.empty:
        return "No two files are linked by bytes, pixels, names or metadata"
    what = f"{pluralize(len(pairs), 'link')} between files: "
    torn = f"{pairs['label_a'].ne(pairs['label_b']).sum():,} under two labels"
    if pairs["original_split_a"].isna().all():
        return what + torn
    return f"{what}{across_splits(pairs).sum():,} across the shipped splits, {torn}"


def shortcuts(probes: Sequence[Mapping[str, Any]]) -> str:
    """Tell how many probes on all images beat chance, and which reaches most."""
    done = [p for p in probes if p["scope"] == "all" and p["balanced_accuracy"]["low"] is not None]
    if not done:
        return "What a model could cheat with could not be probed: there are too few images"
    telling = [p for p in done if p["balanced_accuracy"]["low"] > p["chance"]]
    if not telling:
        return f"None of {len(done)} things that a model could cheat with beats chance"
    best = max(telling, key=lambda p: p["balanced_accuracy"]["value"])
    return (
        f"{len(telling)} of {len(done)} things that a model could cheat with beat chance; the most: "
        f"{best['name']}, balanced accuracy {best['balanced_accuracy']['value']:.3f} (chance "
        f"{best['chance']:.3f})"
    )
