"""How numbers are written, on the page and in the card alike."""

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
# Parts of the metrics in the order in which they are shown; those not there are left out.
SUBSETS = {
    "test": "Test",
    "test_clean": "Test without leaked images",
    "test_leaked": "Leaked test images only",
    "validation": "Validation",
}


def percent(share: float) -> str:
    """Write a share in percent with one decimal."""
    return f"{100 * share:.1f}{NBSP}%"


def decimal(value: float) -> str:
    """Write a number with three decimals."""
    return f"{value:.3f}"


@dataclass(frozen=True)
class FormattedEstimate:
    """An estimate in words; ``reason`` says why the value or its interval is lacking."""

    value: str
    interval: str
    n: int
    reason: str

    @property
    def inline(self) -> str:
        """Value and interval on one line."""
        return f"{self.value} [{self.interval}]" if self.interval else self.value


def format_estimate(estimate: Mapping[str, Any], how: Callable[[float], str]) -> FormattedEstimate:
    """Write an estimate; what is None becomes a dash."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    bounded = low is not None and high is not None
    # The unit stands once, behind the second bound.
    first = how(low).removesuffix(f"{NBSP}%") if bounded else ""
    return FormattedEstimate(
        value=DASH if value is None else how(value),
        interval=f"{first} to {how(high)}" if bounded else "",
        n=estimate["n"],
        reason=estimate.get("reason") or "",
    )


@dataclass(frozen=True)
class Measure:
    """A number of ``metrics.json``: its key, its name, how it is written, and what it means."""

    key: str
    name: str
    formatter: Callable[[float], str]
    meaning: str


HEADLINE_MEASURES = (
    Measure(
        "accuracy",
        "Accuracy",
        percent,
        "Share of all images that are named right. Common classes "
        "weigh most: naming everything like the commonest class can already score well.",
    ),
    Measure(
        "balanced_accuracy",
        "Balanced accuracy",
        percent,
        "For each class the share of its images "
        "that are found, averaged over the classes. A rare class counts as much as a common one.",
    ),
    Measure(
        "macro_f1",
        "Macro-F1",
        decimal,
        "Finding a class against false alarms for it, averaged "
        "over the classes. 1 is perfect, 0 is none right.",
    ),
    Measure(
        "auroc_macro",
        "AUROC",
        decimal,
        "How often an image of a class gets a higher probability "
        "for that class than an image of another one, averaged over the classes. 0.5 is guessing, "
        "1 is perfect.",
    ),
)
CALIBRATION_MEASURES = (
    Measure(
        "expected_calibration_error",
        "Calibration error",
        decimal,
        "How far stated confidence and share right lie apart on average; 0 is best.",
    ),
    Measure("log_loss", "Log loss", decimal, "Nats per image; 0 is best."),
    Measure(
        "brier",
        "Brier score",
        decimal,
        "Squared distance of the probabilities to the truth, 0 (best) to 2.",
    ),
)
MALIGNANCY = (
    Measure("sensitivity", "Sensitivity", percent, "Malignant images called malignant."),
    Measure("specificity", "Specificity", percent, "Benign images called benign."),
    Measure(
        "auroc", "AUROC", decimal, "How often a malignant image gets the higher malignant score."
    ),
)
PER_CLASS = (
    Measure("recall", "Recall", percent, "Share of the images of this class that are found."),
    Measure("precision", "Precision", percent, "Share right of those called this class."),
    Measure("f1", "F1", decimal, "Harmonic mean of recall and precision."),
    Measure("auroc", "AUROC", decimal, "This class against all others."),
)

_POLICIES = {
    "grouped": "Images that belong together (same bytes, lesion, patient or name, or copies by what "
    "their pixels show) all stand in one split, and each image counts once, so no test image has a "
    "known copy or mate among those the model learned from. Images whose bytes or pixels stand under "
    "two labels are left out. Relations that neither pixels, names nor metadata show are not known.",
    "original": "The splits are those the data came with, copies included. Where a test image has "
    "a copy or a mate in training or validation, the model is tested on what it has seen, and the "
    "numbers are too good. Take split.policy=grouped for an honest estimate.",
    "cleaned": "The test split is the one the data came with, less copies of itself and "
    "contradictions; what leaked into it was taken out of training and validation.",
}


def policy_note(policy: str) -> str:
    """Say what a split policy guarantees, or that it is not known."""
    return _POLICIES.get(policy, "What this policy guarantees is not known to this report.")


def original_test_note(split_table: pd.DataFrame) -> str:
    """Say how many of the files that came as test have a mate in the shipped train or val."""
    shipped = split_table[split_table["original_split"].eq("test")]
    if split_table["original_split"].isna().all():
        return "The data came without a split."
    if shipped.empty:
        return "None of the files used came as test."
    leaked = int(shipped["is_leaked"].sum())
    share = percent(leaked / len(shipped))
    return (
        f"Of the {len(shipped):,} files used that came as test, {leaked:,} ({share}) have a copy or a "
        "mate among those that came as training or validation."
    )


def counts_by_split(split_table: pd.DataFrame) -> pd.DataFrame:
    """Count images by class (rows) and split (train, val, test)."""
    counts = pd.crosstab(split_table["label"], split_table["split"])
    return counts.reindex(columns=list(SPLITS), fill_value=0)


def images_from(provenance: Mapping[str, Any]) -> str:
    """Name the source of the images, and its version where it has one."""
    origin = provenance.get("origin")
    if origin is None:
        return "not recorded"
    if origin["kind"] == "kaggle":
        return f"{origin['dataset']} on Kaggle, version {origin['version']}"
    if origin["kind"] == "demo":
        return f"generated, seed {origin['seed']}"
    return f"the folder {Path(origin['folder']).name}"


def load_versions(metrics: Mapping[str, Any]) -> str:
    """Return the versions that the numbers were made from, in the form of ``--load-versions``."""
    made_from = metrics["provenance"]
    names = ("model", "split_table", "image_table", "raw_images")
    return ",".join(f"{name}:{made_from[f'{name}_version']}" for name in names)


def pluralize(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    >>> counted(1, "file"), counted(2000, "class", "classes")
    ('1 file', '2,000 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def format_duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> duration(41.2), duration(332), duration(7300)
    ('41 s', '5 min 32 s', '2 h 1 min')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_recipe(recipe: dict[str, Any]) -> dict[str, str]:
    """Write each parameter of a recipe: its name, with its groups, and its value."""
    return {
        re.sub(r"[._]", " ", name): format_value(value) for name, value in flatten(recipe).items()
    }


def class_prior_note(recipe: Mapping[str, Any]) -> str:
    """Say which mixture of classes the probabilities are for; nothing where it is the images' own."""
    balance = recipe.get("class_balance", "none")
    if balance == "none":
        return ""
    return (
        f"The classes were balanced while it learned ({format_value(balance).replace('_', ' ')}): the probabilities "
        "take them for more equally common than they are, so rare ones get more than their share."
    )


def format_value(value: object) -> str:
    """Write a parameter: true and none as words, floats without needless digits."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def headline(scores: dict[str, Any]) -> str:
    """Tell the scores of one split in a line."""
    told = (
        f"{name} {format_inline(scores[key])}"
        for key, name in (
            ("balanced_accuracy", "balanced accuracy"),
            ("accuracy", "accuracy"),
            ("auroc_macro", "AUROC"),
        )
    )
    return f"{', '.join(told)}; {scores['n']} images"


def format_inline(estimate: dict[str, Any]) -> str:
    """Tell one estimate with its 95 % interval."""
    if estimate["value"] is None:
        return f"unknown ({estimate['reason']})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
