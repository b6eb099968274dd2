"""Formatting of numbers, estimates and notes.

The HTML report, the model card and the log use the same functions, so that they agree.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from skin_lesions.config.base import flatten
from skin_lesions.reporting.figures.titles import NBSP

DASH = "–"
SPLITS = {"train": "training", "val": "validation", "test": "test"}
# Subsets in ``metrics.json``, in display order. Subsets without metrics are left out.
SUBSETS = {
    "test": "Test",
    "test_clean": "Test without leaked images",
    "test_leaked": "Leaked test images only",
    "validation": "Validation",
}


def percent(fraction: float) -> str:
    """Format a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}{NBSP}%"


def decimal(value: float) -> str:
    """Format a number with three decimals."""
    return f"{value:.3f}"


@dataclass(frozen=True)
class FormattedEstimate:
    """An estimate as text.

    ``reason`` explains why the value or its interval is missing; otherwise it is empty.
    """

    value: str
    interval: str
    n: int
    reason: str

    @property
    def inline(self) -> str:
        """Value and interval in one line."""
        return f"{self.value} [{self.interval}]" if self.interval else self.value


def format_estimate(
    estimate: Mapping[str, Any], formatter: Callable[[float], str]
) -> FormattedEstimate:
    """Format an estimate. A missing value becomes a dash, a missing interval an empty text."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    bounded = low is not None and high is not None
    # The unit is written once, after the upper bound.
    first = formatter(low).removesuffix(f"{NBSP}%") if bounded else ""
    return FormattedEstimate(
        value=DASH if value is None else formatter(value),
        interval=f"{first} to {formatter(high)}" if bounded else "",
        n=estimate["n"],
        reason=estimate.get("reason") or "",
    )


@dataclass(frozen=True)
class Measure:
    """A metric of ``metrics.json``: key, displayed name, number format and meaning."""

    key: str
    name: str
    formatter: Callable[[float], str]
    meaning: str


HEADLINE_MEASURES = (
    Measure(
        "accuracy",
        "Accuracy",
        percent,
        "Fraction of images with a correct prediction. Common classes have the most weight: "
        "always predicting the most common class can already score well.",
    ),
    Measure(
        "balanced_accuracy",
        "Balanced accuracy",
        percent,
        "Fraction of correct predictions for each class (recall), averaged over the classes. "
        "A rare class counts as much as a common one.",
    ),
    Measure(
        "macro_f1",
        "Macro F1",
        decimal,
        "Mean F1 of the classes. F1 combines recall and precision. 1 is perfect, 0 means no "
        "correct prediction.",
    ),
    Measure(
        "auroc_macro",
        "AUROC",
        decimal,
        "Probability that an image of a class gets a higher score for this class than an image "
        "of another class. Averaged over the classes. 0.5 is chance level, 1 is perfect.",
    ),
)
CALIBRATION_MEASURES = (
    Measure(
        "expected_calibration_error",
        "Calibration error",
        decimal,
        "Mean distance between confidence and accuracy (ECE). 0 is best.",
    ),
    Measure("log_loss", "Log loss", decimal, "Nats per image. 0 is best."),
    Measure(
        "brier",
        "Brier score",
        decimal,
        "Squared distance between predicted probabilities and true class, 0 (best) to 2.",
    ),
)
MALIGNANCY = (
    Measure(
        "sensitivity",
        "Sensitivity",
        percent,
        "Fraction of malignant images that are predicted as malignant.",
    ),
    Measure(
        "specificity",
        "Specificity",
        percent,
        "Fraction of benign images that are predicted as benign.",
    ),
    Measure(
        "auroc",
        "AUROC",
        decimal,
        "Probability that a malignant image gets a higher malignancy score than a benign one.",
    ),
)
PER_CLASS = (
    Measure(
        "recall",
        "Recall",
        percent,
        "Fraction of the images of this class that are predicted as this class.",
    ),
    Measure(
        "precision",
        "Precision",
        percent,
        "Fraction of the images predicted as this class that belong to it.",
    ),
    Measure("f1", "F1", decimal, "Harmonic mean of recall and precision."),
    Measure("auroc", "AUROC", decimal, "One class against all others."),
)

_POLICIES = {
    "grouped": "All images of a group are in one split, and each image counts once. A group "
    "contains exact duplicates, near-duplicates, and images of one lesion, patient or filename "
    "key. No test image has a known duplicate or same-group image in training or validation. Exact "
    "duplicates and pixel-identical images with a label conflict are excluded. Relations that "
    "neither pixels, file names nor metadata show are unknown.",
    "original": "The splits are the original splits of the data, duplicates included. If a test "
    "image has a duplicate or a same-group image in training or validation, the model is tested on "
    "data that it has seen, and the results are too optimistic. For a reliable estimate, use "
    "split.policy=grouped.",
    "cleaned": "The test split is the original test split, each image once and without label "
    "conflicts. Images that leak into it were removed from training and validation.",
}


def policy_note(policy: str) -> str:
    """Describe what a split policy guarantees."""
    return _POLICIES.get(policy, "This report has no description of this split policy.")


def original_test_note(split_table: pd.DataFrame) -> str:
    """Describe how many images of the original test split are leaked."""
    original_test = split_table[split_table["original_split"].eq("test")]
    if split_table["original_split"].isna().all():
        return "The data have no original split."
    if original_test.empty:
        return "None of the files used are in the original test split."
    leaked = int(original_test["is_leaked"].sum())
    fraction = percent(leaked / len(original_test))
    return (
        f"Of the {len(original_test):,} files used from the original test split, {leaked:,} "
        f"({fraction}) have a duplicate or a same-group image in the original training or "
        "validation split."
    )


def counts_by_split(split_table: pd.DataFrame) -> pd.DataFrame:
    """Count images by class and split.

    Returns:
        One row per class; columns train, val, test.
    """
    counts = pd.crosstab(split_table["label"], split_table["split"])
    return counts.reindex(columns=list(SPLITS), fill_value=0)


def images_from(provenance: Mapping[str, Any]) -> str:
    """Describe the source of the images, with its version or seed if it has one."""
    origin = provenance.get("origin")
    if origin is None:
        return "not recorded"
    if origin["kind"] == "kaggle":
        return f"{origin['dataset']} on Kaggle, version {origin['version']}"
    if origin["kind"] == "demo":
        return f"synthetic images, seed {origin['seed']}"
    return f"folder {Path(origin['folder']).name}"


def load_versions(metrics: Mapping[str, Any]) -> str:
    """Return the versions behind the metrics, in the format of ``--load-versions``."""
    provenance = metrics["provenance"]
    names = ("model", "split_table", "image_table", "raw_images")
    return ",".join(f"{name}:{provenance[f'{name}_version']}" for name in names)


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units.

    >>> format_duration(41.2), format_duration(332), format_duration(7300)
    ('41 s', '5 min 32 s', '2 h 1 min')
    """
    total = round(seconds)
    hours, minutes, rest = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_recipe(recipe: dict[str, Any]) -> dict[str, str]:
    """Format each parameter of a recipe as name (with its groups) and value."""
    return {
        re.sub(r"[._]", " ", name): format_value(value) for name, value in flatten(recipe).items()
    }


def class_prior_note(recipe: Mapping[str, Any]) -> str:
    """Describe the class prior of the probabilities if class balance changed it.

    Returns:
        An empty text without class balance: the prior is then that of the training images.
    """
    balance = recipe.get("class_balance", "none")
    if balance == "none":
        return ""
    return (
        f"The classes were balanced during training ({format_value(balance).replace('_', ' ')}). "
        "The probabilities assume a more uniform class prior than that of the images. Rare classes "
        "therefore get higher probabilities than their frequency justifies."
    )


def format_value(value: object) -> str:
    """Format a parameter: booleans and None as words, floats without trailing zeros."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def headline(metrics: dict[str, Any]) -> str:
    """Format the main metrics of one split in one line."""
    estimates = (
        f"{name} {format_inline(metrics[key])}"
        for key, name in (
            ("balanced_accuracy", "balanced accuracy"),
            ("accuracy", "accuracy"),
            ("auroc_macro", "AUROC"),
        )
    )
    return f"{', '.join(estimates)}; {metrics['n']} images"


def format_inline(estimate: dict[str, Any]) -> str:
    """Format one estimate with its 95 % interval, or with the reason why it is unknown."""
    if estimate["value"] is None:
        return f"unknown ({estimate['reason']})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
