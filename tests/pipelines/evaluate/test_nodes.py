import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.raw_store import ObjectStore, RawImages
from skin_lesions.pipelines.evaluate.nodes import measure_uncertainty, predict, score
from support.factories import EVALUATE
from support.report_inputs import two_classes, with_frame, with_leaky_weights


def test_model_of_another_split_is_rejected_before_images_are_read(tmp_path):
    study = two_classes()
    raw_images = RawImages(study.image_table.frame, ObjectStore(tmp_path), study.origin)
    tables = study.split_table, study.image_table, raw_images
    with pytest.raises(InputError, match=r"was trained on the split of .*, not on that of"):
        predict(study.model, PixelStore(tmp_path), *tables, EVALUATE)


def scorecard(policy):
    """Score predictions of which the leaked test images are right and the clean ones wrong."""
    study = two_classes(policy=policy)
    frame = study.predictions.frame
    other = frame["label"].map({"Benign": "Melanoma", "Melanoma": "Benign"})
    is_right = frame["is_leaked"] | frame["split"].eq("val")
    frame = frame.assign(predicted=frame["label"].where(is_right, other))
    leaked = int(frame["is_leaked"].sum())
    return score(with_frame(study.predictions, frame), study.model, EVALUATE), frame, leaked


def test_leaked_and_clean_test_images_of_the_original_split_are_scored_separately():
    found, frame, leaked = scorecard("original")
    test = int(frame["split"].eq("test").sum())
    assert 0 < leaked < test
    subsets = [found.test, found.test_clean, found.test_leaked, found.validation]
    assert [subset.n for subset in subsets] == [test, test - leaked, leaked, len(frame) - test]
    accuracies = [subset["accuracy"].value for subset in subsets]
    assert accuracies == pytest.approx([leaked / test, 0, 1, 1])


@pytest.mark.parametrize("policy", ["grouped", "cleaned"])
def test_other_policies_have_no_separate_scores(policy):
    found, _, _ = scorecard(policy)
    assert found.test_clean is None
    assert found.test_leaked is None


def test_metrics_record_the_leakage_by_the_initial_weights():
    inputs = two_classes()
    leaky = score(inputs.predictions, with_leaky_weights(inputs.model), EVALUATE)
    assert leaky.provenance.leaked_test_images == 7
    assert score(inputs.predictions, inputs.model, EVALUATE).provenance.leaked_test_images == 0


@pytest.mark.parametrize("policy", ["original", "grouped"])
def test_clean_test_images_of_the_original_split_have_their_own_uncertainty(policy):
    inputs = two_classes(policy=policy)
    found = measure_uncertainty(inputs.predictions, inputs.model)
    frame = inputs.predictions.frame
    test = frame[frame["split"] == "test"]
    assert found.test.n == len(test)
    if policy == "original":
        assert found.test_clean.n == (~test["is_leaked"]).sum() < found.test.n
    else:
        assert found.test_clean is None


def test_uncertainty_states_the_fits_of_the_model_and_what_it_was_made_from():
    inputs = two_classes()
    found = measure_uncertainty(inputs.predictions, inputs.model)
    fitted = inputs.model.postprocessing
    assert found.thresholds == fitted.conformal
    assert found.referral == fitted.referral
    assert found.decision == fitted.frequencies.decision
    assert found.test.conformal.target_coverage == fitted.conformal.coverage
    assert found.provenance == score(inputs.predictions, inputs.model, EVALUATE).provenance
