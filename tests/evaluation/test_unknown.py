import numpy as np
import pytest

from skin_lesions.evaluation.unknown import compute_unknown_results
from skin_lesions.metrics.intervals import proportion
from support.report_inputs import UNUSUAL_NAMES, twenty_three_classes, two_classes


def results(study, **columns):
    frame = study.predictions.frame.assign(**columns)
    fit = study.model.postprocessing.unknown_score
    return compute_unknown_results(frame, study.labels, fit, study.metrics.provenance), frame


def test_fraction_of_flagged_test_images_has_an_interval_over_groups():
    study = two_classes()
    found, frame = results(study)
    test = frame[frame["split"] == "test"]
    assert found.test == proportion(test["is_unknown"], test["group_id"].astype(str))
    for label in study.labels:
        rows = test[test["label"] == label]
        assert found.per_class[label] == proportion(rows["is_unknown"], rows["group_id"])


def test_accuracy_of_flagged_and_other_images_is_that_of_these_images():
    study = two_classes()
    frame = study.predictions.frame
    is_wrong = frame["label"] != frame["predicted"]
    found, _ = results(study, is_unknown=is_wrong)
    assert (found.accuracy_flagged.value, found.accuracy_not_flagged.value) == (0.0, 1.0)
    assert found.accuracy_flagged.n == int((is_wrong & frame["split"].eq("test")).sum())


@pytest.mark.parametrize(
    ("flagged", "missing", "reason"),
    [
        (False, "accuracy_flagged", "no test image is flagged"),
        (True, "accuracy_not_flagged", "all test images are flagged"),
    ],
)
def test_accuracy_of_no_images_has_a_reason(flagged, missing, reason):
    found, _ = results(two_classes(), is_unknown=flagged)
    assert getattr(found, missing).reason == reason
    assert found.test.value == float(flagged)


def test_class_without_test_images_and_no_test_images_have_a_reason():
    study = twenty_three_classes()
    found, _ = results(study)
    assert found.per_class[UNUSUAL_NAMES[0]].reason == "no test images of this class"
    empty, _ = results(study, split="val")
    assert empty.test.reason == "there are no test images"
    assert np.isfinite(empty.threshold)


def test_validation_fraction_has_no_interval_because_the_threshold_was_fitted_on_it():
    study = two_classes()
    found, _ = results(study)
    assert found.validation.value == study.model.postprocessing.unknown_score.flagged_fraction
    assert found.validation.low is None
