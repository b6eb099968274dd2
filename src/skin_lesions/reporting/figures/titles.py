"""Titles of the figures.

Each title states the result in one sentence. It is also the alternative text in the report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import across_splits

NBSP = "\u00a0"


def whole_percent(fraction: float) -> str:
    """Format a fraction in whole percent, never rounded up to all or down to none.

    The space before the sign is a no-break space.

    >>> [whole_percent(fraction).replace(NBSP, " ") for fraction in (0.714, 0.999, 0.001, 1.0)]
    ['71 %', '>99 %', '<1 %', '100 %']
    """
    rounded = round(100 * fraction)
    if rounded >= 100 and fraction < 1:
        return f">99{NBSP}%"
    if rounded <= 0 and fraction > 0:
        return f"<1{NBSP}%"
    return f"{rounded}{NBSP}%"


def confusion(metrics: Mapping[str, Any]) -> str:
    """State the accuracy and the most frequent error."""
    test = metrics["test"]
    counts = np.array(test["confusion"]["counts"])  # (classes, classes); rows are labels
    classes = test["confusion"]["classes"]
    n, correct = int(counts.sum()), int(np.trace(counts))
    start = f"Test: {whole_percent(correct / n)} correct ({correct:,} of {n:,})"
    errors = counts - np.diag(np.diag(counts))
    if correct == n:
        return start
    true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
    return (
        f"{start}. Most frequent error: {classes[true]} predicted as {classes[predicted]} "
        f"({errors[true, predicted]:,} of {counts[true].sum():,})"
    )


def recall(metrics: Mapping[str, Any]) -> str:
    """Name the classes with the highest and the lowest recall."""
    per_class = metrics["test"]["per_class"]
    tested = {k: v for k, v in per_class.items() if v["recall"]["value"] is not None}
    if not tested:
        return "Test: no class has test images"
    order = [name for name in by_recall(per_class) if name in tested]
    best, worst = order[0], order[-1]
    if tested[worst]["recall"]["value"] == tested[best]["recall"]["value"]:
        return f"Test: every class has the same recall ({_describe_recall(tested[best])})"
    return (
        f"Test: recall is highest for {best} ({_describe_recall(tested[best])}) "
        f"and lowest for {worst} ({_describe_recall(tested[worst])})"
    )


def by_recall(per_class: Mapping[str, Any]) -> list[str]:
    """Sort the classes by recall, highest first; ties by number of images, largest first.

    Classes without test images come last.
    """

    def key(name: str) -> tuple[float, int]:
        value = per_class[name]["recall"]["value"]
        return (-1.0 if value is None else value, per_class[name]["support"])

    return sorted(per_class, key=key, reverse=True)


def _describe_recall(row: Mapping[str, Any]) -> str:
    return f"{whole_percent(row['recall']['value'])}, {row['correct']:,} of {row['support']:,}"


def loss(history: pd.DataFrame) -> str:
    """Name the selected epoch and the epoch with the lowest validation loss."""
    best = history[history["best"]].iloc[0]
    accuracies = (
        f"validation accuracy {whole_percent(best['val_accuracy'])}, "
        f"balanced accuracy {whole_percent(best['val_balanced_accuracy'])}"
    )
    if len(history) == 1:
        return f"One epoch: {accuracies}"
    lowest = int(history.sort_values("val_loss", kind="stable")["epoch"].iloc[0])
    also = "It also has" if lowest == best["epoch"] else f"Epoch {lowest} has"
    return (
        f"Epoch {int(best['epoch'])} of {len(history)} was selected: {accuracies}. "
        f"{also} the lowest validation loss"
    )


def calibration(metrics: Mapping[str, Any]) -> str:
    """State the mean distance between confidence and accuracy."""
    error = metrics["test"]["expected_calibration_error"]
    if error["value"] is None:
        return "Test: the calibration error cannot be computed"
    return (
        "Test: confidence and accuracy differ by "
        f"{100 * error['value']:.1f} percentage points on average"
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
    """Describe the sample images, and name the classes with too few images."""
    images = image_table.groupby("label")["image_id"].nunique()
    if per_class is None or per_class == 1:
        start = "Some images" if per_class is None else "One image"
        return f"{start} of each of the {len(images)} classes"
    few = images[images < per_class]
    start = f"{per_class} different images of each of the {len(images)} classes"
    if few.empty:
        return start
    if len(few) > 3:
        return f"Up to {start}; {len(few)} classes have fewer"
    return f"Up to {start}; fewer of {', '.join(few.index)}"


def pairs(links: pd.DataFrame) -> str:
    """Count the links between files, the links across splits and those with label conflicts."""
    if links.empty:
        return "No two files are linked by bytes, pixels, names or metadata"
    start = f"{pluralize(len(links), 'link')} between files: "
    conflicts = f"{links['label_a'].ne(links['label_b']).sum():,} with conflicting labels"
    if links["original_split_a"].isna().all():
        return start + conflicts
    return f"{start}{across_splits(links).sum():,} across the original splits, {conflicts}"


def shortcuts(probes: Sequence[Mapping[str, Any]]) -> str:
    """Count the probes on all images that beat chance, and name the best of them.

    A probe beats chance if its complete 95 % interval is above chance.
    """
    done = [p for p in probes if p["scope"] == "all" and p["balanced_accuracy"]["low"] is not None]
    if not done:
        return "Shortcuts could not be probed: there are too few images"
    above_chance = [p for p in done if p["balanced_accuracy"]["low"] > p["chance"]]
    if not above_chance:
        return f"None of {len(done)} shortcut probes beats chance"
    best = max(above_chance, key=lambda p: p["balanced_accuracy"]["value"])
    return (
        f"{len(above_chance)} of {len(done)} shortcut probes beat chance. Best: "
        f"{best['name']}, balanced accuracy {best['balanced_accuracy']['value']:.3f} (chance "
        f"{best['chance']:.3f})"
    )
