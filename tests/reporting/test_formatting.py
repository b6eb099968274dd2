import json

import pandas as pd
import pytest

from skin_lesions.data.tables import SplitTable
from skin_lesions.evaluation.scorecard import (
    CalibrationMetrics,
    ClassMetrics,
    ConfusionMatrix,
    MalignancyMetrics,
    RangeByChance,
    SplitMetrics,
)
from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.reporting.formatting import (
    NBSP,
    format_inline,
    headline,
    original_test_note,
    policy_note,
    uncertain_links_note,
)
from support.benchmarks import BENCHMARKS
from support.models import SPLIT_PROVENANCE

HALF = Estimate(value=0.5, low=0.4, high=0.6, n=100)


def test_estimate_is_formatted_with_its_interval():
    assert format_inline(HALF) == "0.500 (0.400 to 0.600)"


def test_unknown_value_is_formatted_with_its_reason():
    assert format_inline(unavailable("one class only")) == "unknown (one class only)"


def test_unknown_interval_is_formatted_with_its_reason():
    estimate = Estimate(value=0.5, low=None, high=None, n=2, reason="too few groups")
    assert format_inline(estimate) == "0.500 (too few groups)"


def split_metrics(**support):
    return SplitMetrics(
        n=7,
        groups=7,
        per_class={label: ClassMetrics(support=n, correct=0) for label, n in support.items()},
        confusion=ConfusionMatrix(classes=(), counts=()),
        calibration=CalibrationMetrics(
            error_by_chance=RangeByChance(median=0.1, low=0.05, high=0.2),
            classwise_error_by_chance=RangeByChance(median=0.1, low=0.05, high=0.2),
            overconfidence=HALF,
        ),
        malignant=MalignancyMetrics(
            auroc=HALF, sensitivity=HALF, specificity=HALF, classes=(), excluded_classes=()
        ),
        balanced_accuracy=HALF,
        accuracy=Estimate(value=0.7, low=0.6, high=0.8, n=100),
        auroc_macro=Estimate(value=0.9, low=0.8, high=1.0, n=100),
    )


def test_headline_has_three_metrics_and_the_number_of_images():
    assert headline(split_metrics(nv=4, mel=3)) == (
        "balanced accuracy 0.500 (0.400 to 0.600), accuracy 0.700 (0.600 to 0.800), "
        "AUROC 0.900 (0.800 to 1.000); 7 images"
    )


def test_headline_states_how_many_classes_were_evaluated_if_not_all():
    assert headline(split_metrics(nv=4, mel=3, bcc=0)).endswith(
        "; 7 images, 2 of 3 classes evaluated (no images of bcc)"
    )
    many = dict.fromkeys("abcdef", 0)
    assert headline(split_metrics(nv=7, **many)).endswith(
        "1 of 7 classes evaluated (no images of a, b, c, d, e ...)"
    )


@pytest.mark.parametrize(
    ("original_split", "note"),
    [
        (
            ["train", "train", "val", "test", "test"],
            f"2 files used from the original test split, 1 (50.0{NBSP}%) have a duplicate",
        ),
        (["train"] * 5, "None of the files used are in the original test split."),
        ([None] * 5, "The data have no original split."),
    ],
)
def test_note_on_the_original_test_split_has_the_leaked_fraction_of_its_files(original_split, note):
    table = pd.DataFrame({"original_split": original_split, "is_leaked": [False] * 4 + [True]})
    assert note in original_test_note(SplitTable(table, SPLIT_PROVENANCE, "V1"))


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        # Accepted near-duplicates may connect the splits of the policy original.
        ([0, 0, 0, 0], "No uncertain links (near-duplicates that were found but not accepted"),
        ([1, 0, 1, 0], "2 of 4 images (1 of 2 test images) have uncertain links"),
    ],
)
def test_note_on_uncertain_links_counts_images_and_test_images(counts, note):
    table = pd.DataFrame({"split": ["train", "val", "test", "test"], "uncertain_links": counts})
    assert note in uncertain_links_note(SplitTable(table, SPLIT_PROVENANCE, "V1"))


def test_recall_in_the_policy_note_is_that_of_the_record():
    record = json.loads((BENCHMARKS / "results" / "near_duplicates_parts.json").read_text("utf-8"))
    recall = record["results"]["search"]["pairs"]["recall"]["held_out"]
    for cell, words in {
        "overlap 0.3 to 0.6": "of the crops that share 30 to 60 %",
        "overlap 0.1 to 0.3": "of those that share 10 to 30 %",
        "detail, zoom 2.5 to 4": "of details that are magnified 2.5 to 4 times",
    }.items():
        assert f"{100 * recall[cell]['grouped']:.0f} % {words}" in policy_note("grouped")
