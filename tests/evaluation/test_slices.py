from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from skin_lesions.config.evaluate import Slices
from skin_lesions.core.errors import InputError
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.slices import compute_slices
from skin_lesions.evaluation.slices.columns import age_bands
from skin_lesions.evaluation.slices.gaps import compare_slices, correct_for_comparisons
from skin_lesions.pipelines.evaluate.nodes import measure_slices
from support.factories import EVALUATE
from support.report_inputs import fourteen_classes, with_frame

CLASSES = ("Melanoma", "Melanocytic nevi", "Dermatofibroma")
SETTINGS = Slices(columns=None, min_images=30, age_bands=(30, 60), max_values=5)
PROVENANCE = fourteen_classes().metrics.provenance


def predictions(n=300, seed=0, skill=0.7, groups=None):
    """Make predictions that are right with probability ``skill``, one value or one per image."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    right = rng.random(n) < skill
    predicted = np.where(right, label, (label + rng.integers(1, 3, n)) % 3)
    probability = np.full((n, 3), 0.1)
    probability[np.arange(n), predicted] = 0.8
    return pd.DataFrame(
        {
            "group_id": np.arange(n) if groups is None else groups,
            "label": np.array(CLASSES)[label],
            "predicted": np.array(CLASSES)[predicted],
            **{f"p_{name}": probability[:, c] for c, name in enumerate(CLASSES)},
        }
    )


def results(table, images, **changes):
    return compute_slices(
        prediction_arrays(table, CLASSES),
        images,
        SETTINGS.model_copy(update=changes),
        split_policy="grouped",
        provenance=PROVENANCE,
    )


def halves(n=300, first="a", second="b"):
    return pd.DataFrame({"site": np.where(np.arange(n) % 2 == 0, first, second)})


def test_slices_agree_with_scikit_learn_on_their_images():
    table, images = predictions(), halves()
    [column] = results(table, images).columns
    assert [entry.value for entry in column.slices] == ["a", "b"]
    for entry in column.slices:
        rows = table[images["site"] == entry.value]
        right = rows["label"] == rows["predicted"]
        malignant = rows["label"] == "Melanoma"
        assert (entry.n, entry.classes_evaluated, entry.malignant) == (150, 3, malignant.sum())
        assert entry.accuracy.value == pytest.approx(right.mean())
        expected = balanced_accuracy_score(rows["label"], rows["predicted"])
        assert entry.balanced_accuracy.value == pytest.approx(expected)
        expected = roc_auc_score(malignant, rows["p_Melanoma"])
        assert entry.malignant_auroc.value == pytest.approx(expected)
        assert entry.accuracy.low < entry.accuracy.value < entry.accuracy.high


def test_every_image_is_in_one_slice_of_each_column_and_missing_values_are_a_slice():
    rng = np.random.default_rng(0)
    images = pd.DataFrame(
        {
            "age": rng.choice([20, 40, None, "unknown", "adult"], 300),
            "sex": rng.choice(["female", "male", None, "n/a"], 300),
        }
    )
    found = {column.column: column for column in results(predictions(), images).columns}
    for column in found.values():
        assert sum(entry.n for entry in column.slices) == 300
    assert [entry.value for entry in found["age"].slices] == [
        "below 30",
        "30 to below 60",
        "not a number",
        "missing",
    ]
    missing = images["sex"].isna() | images["sex"].eq("n/a")
    assert found["sex"].slices[-1].value == "missing"
    assert found["sex"].slices[-1].n == missing.sum()


def test_age_is_in_the_band_that_starts_with_it():
    found = age_bands(pd.Series([29.9, "30", 59, 60, 90], name="age"), (30, 60))
    assert found.values.tolist() == [
        "below 30",
        "30 to below 60",
        "30 to below 60",
        "60 or more",
        "60 or more",
    ]


def test_slices_below_the_minimum_have_counts_but_no_numbers():
    images = pd.DataFrame({"site": ["a"] * 271 + ["b"] * 29})
    [column] = results(predictions(), images).columns
    small = column.slices[1]
    assert (small.value, small.n) == ("b", 29)
    estimates = [value for _, value in small if hasattr(value, "reason")]
    assert len(estimates) == 5
    assert {estimate.value for estimate in estimates} == {None}
    assert {estimate.reason for estimate in estimates} == {"fewer than 30 images"}
    assert column.gaps == ()
    assert column.no_gap == "fewer than two slices have at least 30 images"


def test_columns_that_cannot_be_divided_are_listed_with_the_reason():
    n = 300
    table = predictions(n)
    images = halves(n).assign(
        diagnosis_code=table["label"].str.upper(),
        file=[f"{i}.jpg" for i in range(n)],
        patient_id=np.arange(n) % 4,
        camera=np.arange(n) % 6,
        source="clinic",
        note=None,
    )
    found = results(table, images)
    assert [column.column for column in found.columns] == ["site"]
    assert {entry.column: entry.reason for entry in found.left_out} == {
        "diagnosis_code": "its values are the classes, as in the results by class",
        "patient_id": "identifier",
        "camera": "6 different values; evaluate.slices.max_values allows 5",
        "source": "only one value: clinic",
        "note": "all values are missing",
    }


def test_sources_of_one_class_each_and_subtypes_of_a_class_are_subgroups():
    table = predictions()
    number = np.arange(300) % 2
    images = pd.DataFrame(
        {"source": table["label"], "subtype": table["label"] + pd.Series(number).astype(str)}
    )
    found = results(table, images, max_values=6)
    assert [column.column for column in found.columns] == ["source", "subtype"]


def test_only_the_given_columns_are_used_and_unknown_ones_are_reported():
    images = halves().assign(sex="male")
    assert [c.column for c in results(predictions(), images, columns=("site",)).columns] == ["site"]
    with pytest.raises(InputError, match=r"sight\. Expected some of: site, sex"):
        results(predictions(), images, columns=("sight",))


def test_gap_uses_only_the_classes_that_both_slices_have():
    """Slice b has only easy classes. Its balanced accuracy is higher, but there is no gap."""
    table = predictions(600, skill=1.0)
    hard = table["label"] == "Dermatofibroma"
    table.loc[hard, "predicted"] = "Melanoma"
    in_b = (np.arange(600) % 2 == 1) & ~hard
    images = pd.DataFrame({"site": np.where(in_b, "b", "a")})
    [column] = results(table, images).columns
    a, b = column.slices
    assert b.balanced_accuracy.value - a.balanced_accuracy.value == pytest.approx(1 / 3)
    [gap] = column.gaps
    assert set(gap.classes) == {"Melanoma", "Melanocytic nevi"}
    assert gap.difference.value == 0
    assert gap.difference.n == (~hard).sum()
    assert not gap.is_shown


def test_slices_without_a_common_class_have_no_gap():
    table = predictions()
    images = pd.DataFrame({"site": np.where(table["label"] == "Melanoma", "a", "b")})
    [column] = results(table, images).columns
    assert column.gaps == ()
    assert column.no_gap == "no two slices have at least 30 images each of common classes"


def test_slices_with_few_images_of_common_classes_have_no_gap():
    table = predictions()
    melanoma = table["label"] == "Melanoma"
    few = melanoma & (melanoma.cumsum() <= 29)
    images = pd.DataFrame({"site": np.where(melanoma & ~few, "a", "b")})
    [column] = results(table, images).columns
    assert [entry.n >= 30 for entry in column.slices] == [True, True]
    assert column.gaps == ()


def test_gaps_are_sorted_and_the_first_is_the_largest_of_all_pairs():
    site = np.arange(900) % 3
    table = predictions(900, skill=np.array([0.9, 0.6, 0.75])[site])
    images = pd.DataFrame({"site": np.array(["a", "b", "c"])[site]})
    found = results(table, images)
    [column] = found.columns
    values = [gap.difference.value for gap in column.gaps]
    assert values == sorted(values, reverse=True)
    assert (column.gaps[0].higher, column.gaps[0].lower) == ("a", "b")
    assert column.gaps[0].is_shown
    assert found.comparisons == 3
    accuracies = {entry.value: entry.balanced_accuracy.value for entry in column.slices}
    assert values[0] == pytest.approx(accuracies["a"] - accuracies["b"])


def test_interval_allows_for_all_comparisons_with_the_level_of_bonferroni():
    rows = prediction_arrays(predictions(), CLASSES)
    first = np.arange(300) % 2 == 0
    uncorrected = compare_slices(rows, ("a", first), ("b", ~first))
    degrees = uncorrected.error.degrees_of_freedom
    gap = correct_for_comparisons(uncorrected, 5)
    # Half widths of t intervals: their ratio is that of the quantiles.
    ratio = stats.t.ppf(1 - 0.05 / 5 / 2, degrees) / stats.t.ppf(0.975, degrees)
    half = gap.difference.high - gap.difference.value
    assert gap.simultaneous_high - gap.difference.value == pytest.approx(ratio * half)
    assert gap.difference.value - gap.simultaneous_low == pytest.approx(ratio * half)


def test_comparisons_of_all_columns_are_counted():
    images = halves().assign(sex=np.repeat(["female", "male"], 150), lens=[*"xyz"] * 100)
    assert results(predictions(), images).comparisons == 1 + 1 + 3


def test_small_slice_determines_the_degrees_of_freedom():
    rows = prediction_arrays(predictions(400), CLASSES)
    small = np.arange(400) < 30
    gap = compare_slices(rows, ("a", small), ("b", ~small))
    assert 20 < gap.error.degrees_of_freedom < 40


def test_gap_of_slices_that_share_groups_counts_each_group_once():
    """Five images of each group in each slice carry hardly more information than one."""
    single = predictions(200, seed=4, groups=np.arange(200) // 2)
    copied = single.loc[single.index.repeat(5)].reset_index(drop=True)
    gap = results(single, halves(200)).columns[0].gaps[0]
    of_copies = (
        results(copied, halves(200).loc[np.arange(200).repeat(5)].reset_index(drop=True))
        .columns[0]
        .gaps[0]
    )
    assert of_copies.difference.value == pytest.approx(gap.difference.value)
    width = gap.difference.high - gap.difference.low
    assert of_copies.difference.high - of_copies.difference.low > 0.8 * width


def test_images_of_one_group_in_both_slices_do_not_widen_the_interval():
    """Their common outcome cancels in the difference."""
    single = predictions(100, seed=4)
    pairs = single.loc[single.index.repeat(2)].reset_index(drop=True)
    independent = pairs.assign(group_id=np.arange(200))
    half_widths = []
    for table in (pairs, independent):
        gap = results(table, halves(200)).columns[0].gaps[0]
        half_widths.append(gap.difference.high - gap.difference.value)
    assert half_widths[0] == pytest.approx(half_widths[1], rel=0.05)


def test_few_correct_images_of_each_class_do_not_show_a_gap():
    """Without an allowance for small classes, slices that are all right would have no error."""
    images = pd.DataFrame({"site": ["a"] * 30 + ["b"] * 30})
    [column] = results(predictions(60, skill=1.0), images).columns
    [gap] = column.gaps
    assert gap.difference.value == 0
    assert gap.difference.high > 0.02


def test_simultaneous_intervals_rarely_show_a_gap_that_does_not_exist():
    """300 replications of five slices of equal accuracy, with images in groups of three.

    The aim is 5 %; the standard error of the fraction is 1.3 %.
    """
    group = np.arange(250) // 3
    selections = [(str(k), group % 5 == k) for k in range(5)]
    pairs = list(combinations(selections, 2))
    shown = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        skill = np.clip(rng.normal(0.75, 0.25, group.max() + 1), 0, 1)[group]
        rows = prediction_arrays(predictions(250, seed, skill, group), CLASSES)
        gaps = [correct_for_comparisons(compare_slices(rows, *pair), len(pairs)) for pair in pairs]
        shown += any(gap.is_shown for gap in gaps)
    assert shown / 300 <= 0.075


def test_true_gap_is_within_the_interval_about_as_often_as_claimed():
    """300 replications of two slices with accuracies of 80 % and 60 %."""
    covered = []
    for seed in range(300):
        group = np.arange(240) // 3
        skill = np.where(group % 2 == 0, 0.8, 0.6)
        images = pd.DataFrame({"site": np.where(group % 2 == 0, "a", "b")})
        [gap] = results(predictions(240, seed, skill, group), images).columns[0].gaps
        sign = 1 if gap.higher == "a" else -1
        low, high = sorted((sign * gap.difference.low, sign * gap.difference.high))
        covered.append(low <= 0.2 <= high)
    assert 0.92 <= np.mean(covered) <= 0.99


def test_node_joins_the_predictions_with_the_image_table_by_file():
    study = fourteen_classes()
    shuffled = study.image_table.frame.sample(frac=1, random_state=0)
    table = with_frame(study.image_table, shuffled)
    found = measure_slices(study.predictions, table, study.model, EVALUATE)
    assert found == measure_slices(study.predictions, study.image_table, study.model, EVALUATE)
    sex = next(column for column in found.columns if column.column == "sex")
    test = study.predictions.frame[study.predictions.frame["split"] == "test"]
    by_file = study.image_table.frame.set_index("file")["sex"]
    expected = by_file.loc[test["file"]].fillna("missing").value_counts().to_dict()
    assert {entry.value: entry.n for entry in sex.slices} == expected


def test_node_compares_leaked_with_clean_images_only_in_the_original_split():
    study = fourteen_classes(policy="original")
    found = measure_slices(study.predictions, study.image_table, study.model, EVALUATE)
    leaked = next(column for column in found.columns if column.column == "is_leaked")
    assert {entry.value for entry in leaked.slices} == {"leaked", "clean"}
    grouped = fourteen_classes()
    found = measure_slices(grouped.predictions, grouped.image_table, grouped.model, EVALUATE)
    assert "is_leaked" not in {column.column for column in found.columns}


def test_predictions_of_other_images_are_rejected():
    study = fourteen_classes()
    with pytest.raises(InputError, match="images .* are not in the image table"):
        rows_of_images(study.predictions.frame, study.image_table.frame.iloc[50:])
