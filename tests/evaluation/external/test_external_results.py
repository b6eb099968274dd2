"""Results on external images, computed from made-up predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.groups import group_images
from skin_lesions.data.label_mapping import LabelMapping
from skin_lesions.evaluation.external.internal_test import find_internal_predictions
from skin_lesions.evaluation.external.selection import select_external_images
from skin_lesions.evaluation.scorecard import compute_metrics
from support.external import external_predictions, external_results
from support.report_inputs import fourteen_classes, two_classes

STUDY = fourteen_classes()
SOME = ("Melanoma", "Melanocytic nevi", "Basal cell carcinoma")


def test_equal_sets_show_no_difference_and_others_a_drop():
    same = external_results(STUDY)
    difference = same.all_outputs.differences["balanced_accuracy"]
    assert difference.value == 0
    assert difference.low < 0 < difference.high
    worse = external_results(STUDY, noise=0.7)
    assert worse.all_outputs.differences["balanced_accuracy"].high < 0
    assert worse.all_outputs.differences["log_loss"].low > 0
    assert worse.malignancy.auroc_difference.high < 0


def test_internal_test_images_are_those_of_the_classes_present():
    results = external_results(STUDY, labels=SOME)
    assert set(results.classes_present) == set(SOME)
    frame = STUDY.predictions.frame
    test = frame[frame["split"] == "test"]
    assert results.internal.n == test["label"].isin(SOME).sum()
    assert results.internal.left_out == (~test["label"].isin(SOME)).sum()
    assert results.present_classes.internal["balanced_accuracy"].classes_evaluated == 3
    # Fewer classes to confuse: the restricted result cannot be worse on these predictions.
    restricted = results.present_classes.external["accuracy"].value
    assert restricted >= results.all_outputs.external["accuracy"].value
    assert set(results.present_classes.external.per_class) == set(SOME)


def test_all_outputs_are_the_metrics_of_evaluate():
    results = external_results(STUDY)
    frame = STUDY.predictions.frame
    fitted = STUDY.model.postprocessing
    expected = compute_metrics(
        frame[frame["split"] == "test"],
        STUDY.labels,
        0,
        temperature=fitted.calibration.temperature,
        log_prior=fitted.frequencies.log_ratio_to_training,
    )
    assert results.all_outputs.internal == expected
    assert results.present_classes is None


def test_overlapping_images_are_left_out_of_all_results_except_the_stated_ones():
    frame = external_predictions(STUDY, noise=0.5)
    overlapping = frame["file"].isin(frame["file"].iloc[::4])
    # The overlapping images are all right, as a model is that was trained on them.
    frame.loc[overlapping, "predicted"] = frame.loc[overlapping, "label"]
    results = external_results(STUDY, frame=frame.assign(is_leaked=overlapping))
    assert results.all_outputs.external.n == (~overlapping).sum()
    assert results.malignancy.external.n <= (~overlapping).sum()
    assert results.uncertainty.external.n == results.unknown.external.n == (~overlapping).sum()
    with_overlap = results.overlap.with_overlap["accuracy"]
    assert with_overlap.n == len(frame)
    assert with_overlap.value > results.all_outputs.external["accuracy"].value
    assert external_results(STUDY).overlap.with_overlap is None


def test_thresholds_of_the_model_are_applied():
    results = external_results(STUDY, noise=0.3)
    points = results.malignancy.external.operating_points
    fitted = STUDY.model.postprocessing.malignancy_thresholds.thresholds
    assert [point.threshold for point in points] == [entry.threshold for entry in fitted]
    assert [entry.target for entry in results.malignancy.point_differences] == [
        entry.target for entry in fitted
    ]
    assert [v.prevalence for v in points[0].predictive_values] == [0.05, 0.2]


def test_without_internal_predictions_only_the_differences_are_missing():
    results = external_results(STUDY, labels=SOME, internal=False)
    assert results.internal is None
    assert "kedro run --pipelines evaluate" in results.no_internal
    assert results.all_outputs.differences == {}
    assert results.malignancy.auroc_difference is None
    assert results.unknown.difference is None
    assert results.all_outputs.external["balanced_accuracy"].low is not None


def test_results_of_one_class_have_no_restriction_and_no_auroc():
    results = external_results(STUDY, labels=["Melanoma"])
    assert results.present_classes is None
    assert results.all_outputs.external["auroc_macro"].value is None
    assert "auroc_macro" not in results.all_outputs.differences


def test_common_images_of_both_sets_are_counted():
    assert external_results(STUDY).internal.common_images == 0
    frame = STUDY.predictions.frame
    test = frame[frame["split"] == "test"].assign(split="external", source_label=frame["label"])
    results = external_results(STUDY, frame=test.assign(is_leaked=False))
    assert results.internal.common_images == len(test)


def stored(**model_versions):
    """Store predictions of several versions, each of a model version."""
    table = two_classes().predictions

    def load(version):
        made_from = table.provenance.model_copy(update={"model_version": model_versions[version]})
        return replace(table, provenance=made_from, version=version)

    return StoredVersions("predictions", tuple(model_versions), load, None)


def test_newest_internal_predictions_of_the_model_are_used():
    model = two_classes().model.with_version("v2")
    found = find_internal_predictions(stored(v9="v8", v7="v2", v6="v2", v1="v0"), model)
    assert found.version == "v7"
    assert set(found.rows["split"]) == {"test"}
    assert find_internal_predictions(stored(v9="v8", v7="v6"), model) is None


def test_leaked_test_images_of_the_original_split_are_no_internal_test():
    study = two_classes(policy="original")
    load = lambda version: study.predictions  # noqa: E731
    stored_predictions = StoredVersions("predictions", (study.predictions.version,), load, None)
    model = study.model.with_version(study.predictions.provenance.model_version)
    rows = find_internal_predictions(stored_predictions, model).rows
    assert not rows["is_leaked"].any()
    assert len(rows) > 0


def selected(table, classes, overlapping=()):
    groups, _ = group_images(table)
    return select_external_images(table, groups, LabelMapping(classes=classes), set(overlapping))


def table(labels, image_ids=None):
    files = [f"{i}.jpg" for i in range(len(labels))]
    return pd.DataFrame({"file": files, "image_id": image_ids or files, "label": labels})


def test_each_image_is_selected_once_with_its_class():
    images = table(["mole", "nevus", "scar", "mel", "mel"], ["A", "B", "C", "D", "D"])
    classes = {"mole": "NV", "nevus": "NV", "scar": None, "mel": "MEL"}
    found = selected(images, classes, overlapping=["1.jpg"])
    assert found.rows["label"].tolist() == ["NV", "NV", "MEL"]
    assert found.rows["source_label"].tolist() == ["mole", "nevus", "mel"]
    assert found.rows["is_leaked"].tolist() == [False, True, False]
    assert (found.ignored, found.conflicting, found.repeated) == (1, 0, 1)


def test_equal_images_with_two_classes_are_left_out_but_not_with_two_names_of_a_class():
    images = table(["mole", "nevus", "mole", "mel", "mel"], ["A", "A", "B", "B", "C"])
    found = selected(images, {"mole": "NV", "nevus": "NV", "mel": "MEL"})
    assert found.rows["image_id"].tolist() == ["A", "C"]
    assert (found.conflicting, found.repeated) == (2, 1)


def test_set_without_independent_images_is_rejected():
    images = table(["mel", "mel"])
    with pytest.raises(InputError, match="2 overlap with training images"):
        selected(images, {"mel": "MEL"}, overlapping=["0.jpg", "1.jpg"])


def test_estimates_of_the_flagged_fraction_follow_the_predictions():
    frame = external_predictions(STUDY)
    frame["is_unknown"] = np.arange(len(frame)) % 2 == 0
    results = external_results(STUDY, frame=frame)
    assert results.unknown.external.value == pytest.approx(0.5, abs=0.01)
    assert set(results.unknown.per_class) == set(results.classes_present)
