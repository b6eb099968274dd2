import pytest

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.raw_store import ObjectStore, RawImages
from skin_lesions.pipelines.evaluate.nodes import predict, score
from support.report_inputs import two_classes, with_frame, with_leaky_weights

EVALUATE = Evaluate(
    batch_size=8,
    seed=0,
    device="cpu",
    robustness={"enabled": False, "corruptions": ["blur"]},
    label_issues={"max_rows": 100},
)


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
