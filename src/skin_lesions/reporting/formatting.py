"""Formatting of numbers, estimates and notes.

The HTML report, the model card, the figures and the log use the same functions, so that they agree.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import JsonValue

from skin_lesions.config.base import flatten
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import Origin, SplitProvenance
from skin_lesions.data.tables import SplitTable
from skin_lesions.evaluation.scorecard import RangeByChance, Scorecard, SplitMetrics
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models.trained_model import TrainedModel

NBSP = "\u00a0"
DASH = "–"
SPLITS = {"train": "training", "val": "validation", "test": "test"}
VALIDATION_NOTE = (
    "Validation results are slightly optimistic, because the epoch and the temperature were "
    "selected on them."
)
TEST_NOT_USED = "Test images were not used for any selection."


def percent(fraction: float) -> str:
    """Format a fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}{NBSP}%"


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
    estimate: Estimate, number_format: Literal["percent", "decimal"]
) -> FormattedEstimate:
    """Format an estimate. A missing value becomes a dash, a missing interval an empty text."""
    formatter = percent if number_format == "percent" else decimal
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        # The unit is written once, after the upper bound.
        low = formatter(estimate.low).removesuffix(f"{NBSP}%")
        interval = f"{low} to {formatter(estimate.high)}"
    return FormattedEstimate(
        value=DASH if estimate.value is None else formatter(estimate.value),
        interval=interval,
        n=estimate.n,
        reason=estimate.reason or "",
    )


def format_range(by_chance: RangeByChance, n: int) -> FormattedEstimate:
    """Format a range by chance like an estimate of n images."""
    interval = f"{decimal(by_chance.low)} to {decimal(by_chance.high)}"
    return FormattedEstimate(value=decimal(by_chance.median), interval=interval, n=n, reason="")


def headline(metrics: SplitMetrics) -> str:
    """Format the main metrics of one split in one line."""
    estimates = [
        f"balanced accuracy {format_inline(metrics['balanced_accuracy'])}",
        f"accuracy {format_inline(metrics['accuracy'])}",
        f"AUROC {format_inline(metrics['auroc_macro'])}",
    ]
    images = f"{metrics.n} images"
    note = evaluated_classes_note(metrics)
    return f"{', '.join(estimates)}; {images}{f', {note}' if note else ''}"


def evaluated_classes_note(metrics: SplitMetrics) -> str:
    """Name the classes without images in the split; empty if there are none.

    Means over the classes, such as balanced accuracy, leave these classes out.
    """
    support = {label: entry.support for label, entry in metrics.per_class.items()}
    absent = [label for label, n in support.items() if n == 0]
    if not absent:
        return ""
    names = ", ".join(map(printable, absent[:5])) + (" ..." if len(absent) > 5 else "")
    evaluated = len(support) - len(absent)
    return f"{evaluated} of {len(support)} classes evaluated (no images of {names})"


def format_inline(estimate: Estimate) -> str:
    """Format one estimate with its 95 % interval, or with the reason why one is unknown."""
    text = format_estimate(estimate, "decimal")
    value = "unknown" if estimate.value is None else text.value
    return f"{value} ({text.interval or text.reason})"


_POLICIES = {
    "grouped": "All images of a group are in one split, and each image counts once. A group "
    "contains exact duplicates, near-duplicates, and images of one lesion, patient or filename "
    "key. Except for uncertain links, no test image has a known duplicate or same-group image in "
    "training or validation. Exact duplicates and pixel-identical images with a label conflict are "
    "excluded. Relations that neither pixels, file names nor metadata show are unknown. The search "
    "for near-duplicates does not find every pair. In a benchmark, it found 100 % of the crops "
    "that share 30 to 60 % of the larger one, 91 % of those that share 10 to 30 %, and 84 % "
    "of details that are magnified 2.5 to 4 times.",
    "original": "The splits are the original splits of the data, duplicates included. If a test "
    "image has a duplicate or a same-group image in training or validation, the model is tested on "
    "data that it has seen, and the results are too optimistic. For a reliable estimate, use "
    "split.policy=grouped.",
    "cleaned": "The test split is the original test split, each image once and without label "
    "conflicts. Images that leak into it were removed from training and validation.",
    "by_column": "The test images are those with chosen values of a column, such as the images of "
    "one hospital. Groups of related images with images in both parts are left out, and each image "
    "counts once. The results show how the model performs on a source that it was not trained on.",
}


def uncertain_links_note(split_table: SplitTable) -> str:
    """State how many images may show the same photograph as an image of another split."""
    rows = split_table.frame
    linked = rows["uncertain_links"].gt(0)
    meaning = "(near-duplicates that were found but not accepted for grouping)"
    if not linked.any():
        return f"No uncertain links {meaning} connect two splits."
    test = rows["split"].eq("test")
    return (
        f"{linked.sum():,} of {len(rows):,} images ({(linked & test).sum():,} of {test.sum():,} "
        f"test images) have uncertain links to another split {meaning}. They may show the same "
        "photograph, so the results may be too high. split.exclude_uncertain_links=true removes "
        "such images from training and validation."
    )


def policy_note(policy: str) -> str:
    """Describe what a split policy guarantees."""
    return _POLICIES.get(policy, "This report has no description of this split policy.")


def column_split_note(provenance: SplitProvenance) -> str:
    """Describe a split by a column; an empty text with another policy. Names are not escaped."""
    found = provenance.column_split
    if found is None:
        return ""
    groups, files = (
        pluralize(found.spanning_groups, "group"),
        pluralize(found.spanning_files, "file"),
    )
    return (
        f"Test images: {found.column} is {' or '.join(found.test_values)}. Left out: {groups} with "
        f"{files} in both parts, and {pluralize(found.missing_files, 'file')} without a value."
    )


def describe_framing(preprocessing: Preprocessing) -> str:
    """Return which part of an image a model uses."""
    if preprocessing.lesion_margin is None:
        return f"resize mode {preprocessing.resize_mode}"
    return (
        "a crop around the main lesion that its localizer finds, with a margin of "
        f"{preprocessing.lesion_margin:g} times the longer side of the box"
    )


def leaky_weights_note(model: TrainedModel) -> str:
    """Describe the leakage of initial weights and localizer; an empty text if there is none."""
    leakage = model.initial_weights.leakage
    if leakage is None:
        return ""
    # The model file does not state which of the two has the leakage.
    source = f"The initial weights ({model.initial_weights.file})"
    if model.localizer is not None:
        source = "The initial weights or the localizer"
    return (
        f"{source} come from a model that was trained or selected on "
        f"{pluralize(leakage.test_images, 'test image')} and "
        f"{pluralize(leakage.val_images, 'validation image')}, or on images of their groups. The "
        "results are therefore too high (train.allow_leaky_weights=true)."
    )


def original_test_note(split_table: SplitTable) -> str:
    """Describe how many images of the original test split are leaked."""
    rows = split_table.frame
    original_test = rows[rows["original_split"].eq("test")]
    if rows["original_split"].isna().all():
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


def counts_by_class(classes: Sequence[str], split_table: SplitTable) -> dict[str, dict[str, int]]:
    """Count the images of each class in the splits train, val and test."""
    counts = pd.crosstab(split_table.frame["label"], split_table.frame["split"])
    counts = counts.reindex(index=list(classes), columns=list(SPLITS), fill_value=0)
    rows = counts.to_numpy(dtype=int).tolist()  # (classes, splits)
    return {
        label: dict(zip(SPLITS, row, strict=True)) for label, row in zip(classes, rows, strict=True)
    }


def is_synthetic(model: TrainedModel, metrics: Scorecard) -> bool:
    """Return whether the model was trained or evaluated on synthetic images."""
    return model.provenance.origin.is_synthetic or metrics.provenance.synthetic_images


def images_from(origin: Origin) -> str:
    """Describe the source of the images, with its version or seed if it has one."""
    if origin.kind == "kaggle":
        return f"{origin.dataset} on Kaggle, version {origin.version}"
    if origin.kind == "demo":
        return f"synthetic images, seed {origin.seed}"
    return f"folder {Path(origin.folder or '').name}"


def data_license_notes(model: TrainedModel) -> list[str]:
    """Return the known license terms of the images; one sentence says if they are unknown."""
    origin = model.provenance.origin
    if origin.license_notes:
        return list(origin.license_notes)
    if origin.is_synthetic:
        return ["The images are synthetic. This software generated them."]
    return [
        "The source does not state the license of its images. Clarify the license before you "
        "publish images, results or the model."
    ]


def weights_license_note(model: TrainedModel) -> str:
    """Describe the license of the initial weights, which the model file does not record."""
    initial = model.initial_weights
    if initial.file is None:
        return "The training started from random weights. They have no license of others."
    note = (
        f"The initial weights ({initial.weights}, file {initial.file}) have an unknown license: "
        "the file does not state it. Clarify it before you publish the model."
    )
    if initial.weights == "imagenet":
        note += (
            " The images of ImageNet may be used for non-commercial research and education only."
        )
    return note


def provenance_rows(model: TrainedModel, metrics: Scorecard) -> list[tuple[str, str]]:
    """List name and value of everything that determined the results, except the image source."""
    trained, evaluated = model.provenance, metrics.provenance
    return [
        ("Model", evaluated.model_version),
        ("Raw images", evaluated.raw_images_version),
        ("Image table", evaluated.image_table_version),
        ("Split table", evaluated.split_table_version),
        ("Data fingerprint", evaluated.data_fingerprint),
        ("Split fingerprint", evaluated.split_fingerprint),
        ("skin-lesions", evaluated.package_version),
        ("Python", trained.python),
        *trained.libraries.items(),
        ("Device", trained.device),
        ("Precision", trained.precision),
    ]


def load_versions(metrics: Scorecard) -> str:
    """Return the versions behind the metrics, in the format of ``--load-versions``."""
    provenance = metrics.provenance
    versions = {
        "model": provenance.model_version,
        "split_table": provenance.split_table_version,
        "image_table": provenance.image_table_version,
        "raw_images": provenance.raw_images_version,
    }
    return ",".join(f"{name}:{version}" for name, version in versions.items())


def format_recipe(recipe: Mapping[str, JsonValue]) -> dict[str, str]:
    """Format each parameter of a recipe as name (with its groups) and value."""
    return {
        re.sub(r"[._]", " ", name): format_value(value) for name, value in flatten(recipe).items()
    }


def class_prior_note(model: TrainedModel) -> str:
    """Describe the class frequencies of prediction and probabilities, if they differ or might.

    Returns:
        An empty text without class balance and with a prediction by the frequencies of the training
        images.
    """
    balance = model.recipe.get("class_balance", "none")
    is_balanced = model.postprocessing.frequencies.decision == "balanced"
    if balance == "none" and not is_balanced:
        return ""
    sentences = []
    if balance != "none":
        method = format_value(balance).replace("_", " ")
        sentences.append(f"The classes were balanced during training ({method}).")
    if is_balanced:
        sentences.append(
            "The predicted class is the most probable one if all classes were equally common. Rare "
            "classes are therefore predicted more often than their frequency justifies. The "
            "probabilities are for the class frequencies of the training images, so the predicted "
            "class need not have the highest one."
        )
    else:
        sentences.append(
            "Nevertheless, the predicted class is the most probable one for the class frequencies "
            "of the training images."
        )
    return " ".join(sentences)


def format_value(value: object) -> str:
    """Format a parameter: booleans and None as words, floats without trailing zeros."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item) for item in value)
    return str(value)
