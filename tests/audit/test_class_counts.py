import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.class_counts import (
    equal_class_counts,
    expected_width,
    repeated_class_counts,
    small_classes,
)
from skin_lesions.config.split import Split

# Originals of the Kaggle dataset ahmedxc4/skin-ds, by diagnosis. The dataset contains each original
# of POX 15 times.
ISIC = {"AK": 867, "BCC": 3323, "BKL": 2624, "DF": 239, "NV": 12875, "MEL": 4522, "SCC": 628}
POX = {"CHP": 75, "CWP": 66, "HFMD": 161, "HEALTHY": 114, "MSL": 55, "MKP": 284}


def files(counts, splits=None):
    """Make an image table.

    counts: files by class; splits: fraction of each class by original split.
    """
    labels = np.repeat(list(counts), list(counts.values()))
    table = pd.DataFrame({"label": labels, "original_split": None}, dtype=object)
    if splits:
        position = table.groupby("label").cumcount() / table["label"].map(counts)
        edges = np.cumsum(list(splits.values()))[:-1] - 1e-9
        table["original_split"] = np.array(list(splits))[
            np.searchsorted(edges, position, side="right")
        ]
    name = [f"{i}.jpg" for i in range(len(table))]
    return table.assign(file=name, image_id=name)


def test_classes_augmented_before_the_split_are_found_with_the_divisor_of_each_split():
    counts = ISIC | {label: 15 * n for label, n in POX.items()}
    finding = repeated_class_counts(files(counts, {"train": 0.8, "val": 0.1, "test": 0.1}))
    assert (finding.count, finding.severity) == (6, "medium")
    assert finding.details["divisor"] == 15
    assert finding.details["divisor in train"] == 12
    assert finding.details["chance"] < 1e-4
    assert finding.examples[0] == ["CHP", "1,125 = 15 x 75"]
    assert "6 of 6 MSLD v2.0 classes" in finding.message


def test_counts_of_the_originals_raise_no_alarm():
    assert repeated_class_counts(files(ISIC | POX)).count == 0


def test_unknown_classes_need_no_origin_if_enough_of_them_have_a_common_divisor():
    rng = np.random.default_rng(0)
    counts = {f"c{i}": 8 * int(n) for i, n in enumerate(rng.integers(20, 900, 8))}
    finding = repeated_class_counts(files(counts))
    assert finding.count == 8
    assert finding.details["divisor"] % 8 == 0


def test_counts_of_a_clean_split_raise_no_alarm():
    # Actinic keratoses, basal cell carcinoma, ... of a real dataset of 2,144 images.
    train = [89, 274, 334, 77, 206, 280, 137, 99]
    val = [20, 59, 72, 17, 44, 61, 30, 22]
    test = [20, 59, 72, 17, 44, 60, 30, 21]
    codes = ["AK", "BCC", "BKL", "DF", "NV", "MEL", "SCC", "VASC"]
    by_split = zip(("train", "val", "test"), (train, val, test), strict=True)
    tables = [
        files(dict(zip(codes, counts, strict=True))).assign(original_split=split)
        for split, counts in by_split
    ]
    assert repeated_class_counts(pd.concat(tables)).count == 0


def test_random_counts_raise_an_alarm_in_fewer_than_one_of_a_hundred_datasets():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(120):
        counts = np.exp(rng.uniform(np.log(20), np.log(1500), rng.integers(2, 16))).astype(int)
        table = files({f"c{i}": n for i, n in enumerate(counts)}, {"train": 0.8, "test": 0.2})
        alarms += repeated_class_counts(table).count > 0
    assert alarms <= 1


def test_round_numbers_are_reported_as_chosen_by_hand():
    counts = {f"c{i}": 500 * n for i, n in enumerate([1, 2, 3, 4, 6, 7])}
    finding = repeated_class_counts(files(counts))
    assert (finding.severity, finding.details["divisor"]) == ("info", 500)


def test_equal_counts_are_reported_as_balanced_and_not_as_multiples():
    table = files({f"c{i}": 240 for i in range(9)}, {"train": 0.5, "test": 0.5})
    assert repeated_class_counts(table).count == 0
    finding = equal_class_counts(table)
    assert (finding.count, finding.severity) == (9, "info")
    assert finding.details["files_per_class_all"] == 240
    assert finding.details["files_per_class_test"] == 120


def test_unequal_counts_are_not_reported_as_balanced():
    assert equal_class_counts(files({"a": 10, "b": 11})).count == 0


@pytest.mark.parametrize("counts", [{"a": 1}, {"a": 7, "b": 7}, {"a": 1, "b": 2}])
def test_very_small_datasets_raise_no_alarm(counts):
    assert repeated_class_counts(files(counts)).count == 0


def small_class_finding(table, policy="grouped", max_width=0.3, group_id=None):
    split = Split.model_validate(
        {"policy": policy, "fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 0}
    )
    groups = table[["file"]].assign(group_id=group_id or table["file"], pixel_id=table["image_id"])
    return small_classes(table, groups, split, max_width)


def test_classes_too_small_for_the_test_fraction_are_listed_with_the_width():
    finding = small_class_finding(files({"rare": 40, "common": 400}))
    assert finding.count == 1
    assert finding.severity == "medium"
    assert finding.examples == [["rare", "about 6 in test", f"width {expected_width(6):.2f}"]]


def test_original_policy_counts_the_original_test_split():
    table = files({"a": 400, "b": 400}, {"train": 0.95, "test": 0.05})
    assert small_class_finding(table).count == 0
    assert small_class_finding(table, "original").count == 2


def test_images_of_one_lesion_count_once():
    table = files({"a": 400, "b": 400})
    lesions = [f"g{i // 10}" for i in range(800)]
    assert small_class_finding(table).count == 0
    assert small_class_finding(table, group_id=lesions).count == 2


def test_images_with_conflicting_labels_count_for_no_class_except_under_original_policy():
    table = files({"a": 200, "b": 200}, {"test": 1.0})
    table["image_id"] = [f"{i % 200}" for i in range(400)]
    assert small_class_finding(table).examples[0][1] == "none in test"
    assert small_class_finding(table, "original").count == 0


def test_width_equals_that_of_wilson_and_decreases_with_the_number():
    # 24 of 30 right: 0.627 to 0.905, as in any calculator of Wilson's interval
    assert expected_width(30) == pytest.approx(0.905 - 0.627, abs=0.002)
    assert expected_width(0) == 1.0
    assert expected_width(10) > expected_width(11)


def test_common_divisor_of_two_classes_is_chance():
    # 63 divides both counts in one of 3,969 random pairs, but 63 or a larger number in one of 60.
    assert repeated_class_counts(files({"a": 63 * 11, "b": 63 * 13})).count == 0
