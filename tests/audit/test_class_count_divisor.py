import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.class_count_divisor import class_counts_share_divisor
from support.audit import audit_context
from support.factories import class_table

# Originals of the Kaggle dataset ahmedxc4/skin-ds, by diagnosis. The dataset contains each original
# of POX 15 times.
ISIC = {"AK": 867, "BCC": 3323, "BKL": 2624, "DF": 239, "NV": 12875, "MEL": 4522, "SCC": 628}
POX = {"CHP": 75, "CWP": 66, "HFMD": 161, "HEALTHY": 114, "MSL": 55, "MKP": 284}


def findings_of(counts, splits=None):
    return class_counts_share_divisor(audit_context(class_table(counts, splits)))


def test_classes_augmented_before_the_split_are_found_with_the_divisor_of_each_split():
    counts = ISIC | {label: 15 * n for label, n in POX.items()}
    (finding,) = findings_of(counts, {"train": 0.8, "test": 0.2})
    assert (finding.count, finding.severity) == (6, "medium")
    assert finding.details == {
        "divisor": 15,
        "classes": 6,
        "divisor in train": 12,
    }
    assert finding.examples[0] == ["CHP", "1,125 = 15 x 75"]
    assert finding.message.startswith(
        "All 6 MSLD v2.0 classes have file counts that are exact multiples of 15 "
        "(in train: multiples of 12)."  # chance could explain the 3 in test
    )


def test_divisor_of_one_split_is_reported_for_this_split():
    counts = {"a": 48, "b": 72, "c": 120}
    train = class_table(counts).assign(original_split="train")
    test = class_table({"a": 7, "b": 8, "c": 9}).assign(original_split="test")
    table = pd.concat([train, test], ignore_index=True)
    (finding,) = class_counts_share_divisor(audit_context(table))
    assert finding.details == {"divisor": 24, "classes": 3}
    assert "file counts in train that are exact multiples of 24." in finding.message
    assert finding.examples == [["a", "48 = 24 x 2"], ["b", "72 = 24 x 3"], ["c", "120 = 24 x 5"]]


@pytest.mark.parametrize(
    "counts",
    [
        ISIC | POX,
        {"a": 1},
        {"a": 300, "b": 600},  # two counts are no evidence
        {"a": 63 * 11, "b": 63 * 13, "c": 63 * 11},  # these are two different counts
        {f"c{i}": 240 for i in range(9)},  # balanced
        {"a": 8, "b": 12, "c": 16, "d": 18},  # 2 is often a common divisor
        {"a": 9, "b": 12, "c": 15, "d": 17},  # not of all classes
        {"a": 27, "b": 36, "c": 63},  # chance explains 9 for three classes
    ],
)
def test_counts_without_a_common_divisor_of_three_different_ones_raise_no_alarm(counts):
    assert findings_of(counts) == []


@pytest.mark.parametrize(("originals", "smallest"), [([7, 9, 16], 23), ([7, 9, 16, 25], 8)])
def test_smallest_divisor_is_one_that_chance_rarely_produces_or_exceeds(originals, smallest):
    below = {f"c{i}": (smallest - 1) * n for i, n in enumerate(originals)}
    assert findings_of(below) == []
    (finding,) = findings_of({f"c{i}": smallest * n for i, n in enumerate(originals)})
    assert finding.details["divisor"] == smallest


@pytest.mark.parametrize("k", [3, 8, 17])
def test_unknown_classes_need_no_origin(k):
    originals = [20, 31, 47, 110, 12, 26, 33, 58]
    (finding,) = findings_of({f"c{i}": k * n for i, n in enumerate(originals)})
    assert (finding.count, finding.details["divisor"]) == (8, k)


@pytest.mark.parametrize("classes", [3, 5])
def test_random_counts_raise_an_alarm_in_at_most_one_of_200_datasets(classes):
    rng = np.random.default_rng(0)
    alarms = sum(
        bool(findings_of({f"c{i}": int(n) for i, n in enumerate(rng.integers(20, 200, classes))}))
        for _ in range(200)
    )
    assert alarms <= 1


def test_counts_of_a_clean_split_raise_no_alarm():
    # Actinic keratoses, basal cell carcinoma, ... of a real dataset of 2,144 images.
    train = [89, 274, 334, 77, 206, 280, 137, 99]
    val = [20, 59, 72, 17, 44, 61, 30, 22]
    test = [20, 59, 72, 17, 44, 60, 30, 21]
    codes = ["AK", "BCC", "BKL", "DF", "NV", "MEL", "SCC", "VASC"]
    by_split = zip(("train", "val", "test"), (train, val, test), strict=True)
    tables = [
        class_table(dict(zip(codes, counts, strict=True))).assign(original_split=split)
        for split, counts in by_split
    ]
    table = pd.concat(tables, ignore_index=True)
    assert class_counts_share_divisor(audit_context(table)) == []


def test_random_counts_of_six_classes_raise_an_alarm_in_few_datasets():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(60):
        counts = np.exp(rng.uniform(np.log(20), np.log(300), 6)).astype(int)
        alarms += len(findings_of({f"c{i}": n for i, n in enumerate(counts)}))
    assert alarms <= 1  # expected: 0.1


def test_round_numbers_are_reported_as_chosen_by_hand():
    (finding,) = findings_of({f"c{i}": 500 * n for i, n in enumerate([1, 2, 3, 4, 6, 7])})
    assert (finding.severity, finding.details["divisor"]) == ("info", 500)
    assert "someone chose how many files to take" in finding.message
