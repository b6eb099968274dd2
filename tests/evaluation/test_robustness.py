import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ImageProvenance, PredictionProvenance
from skin_lesions.data.tables import ImageTable, PredictionTable
from skin_lesions.evaluation.corruptions import CorruptedImages
from skin_lesions.evaluation.predictions import predict_images
from skin_lesions.evaluation.robustness import RobustnessResult
from skin_lesions.pipelines.evaluate.nodes import measure_robustness_if_enabled as robustness
from support.factories import EVALUATE
from support.models import model_provenance, trained_model
from support.report_inputs import two_classes


def evaluate(**changes) -> Evaluate:
    values = {"robustness": {"enabled": True, "corruptions": ["contrast", "noise"]}}
    return Evaluate.model_validate(EVALUATE.model_dump() | values | changes)


@pytest.fixture
def setting(stored):
    """A model with random weights, the stored images and its predictions of them."""
    torch.manual_seed(0)  # of the random weights
    store, split_table = stored
    rows = split_table.frame
    classes = tuple(sorted(rows["label"].unique()))
    model = trained_model(
        classes=classes,
        preprocessing=Preprocessing("stretch", 32, 32),
        provenance=model_provenance(),
    )
    frame = rows.assign(
        split="test", group_id=[f"g{i // 2}" for i in range(len(rows))], is_leaked=False
    )
    predicted = predict_images(model, store, frame, 8, "cpu")
    provenance = PredictionProvenance(
        model_version="V1",
        split_table_version="V1",
        image_table_version="V1",
        raw_images_version="V1",
    )
    image_provenance = ImageProvenance(
        origin=split_table.provenance.origin, raw_images_version="V1"
    )
    image_table = ImageTable(frame, image_provenance, "V1")
    return model, store, PredictionTable(predicted, provenance, "V1"), image_table


def test_disabled_robustness_says_so_without_reading_an_image(setting):
    model, _, predictions, image_table = setting
    off = evaluate(robustness={"enabled": False, "corruptions": ["blur"]})
    found = robustness(predictions, image_table, model, None, off)
    assert not found.measured
    assert found.reason == "evaluate.robustness.enabled is false"
    assert (found.accuracy, found.corruptions, found.worst()) == (None, (), None)
    assert found.n == len(predictions.frame)
    assert found.provenance.predictions_version == "V1"


def test_loss_is_the_paired_difference_of_the_scores(setting):
    model, store, predictions, image_table = setting
    found = robustness(predictions, image_table, model, store, evaluate())
    test = predictions.frame
    assert found.accuracy.value == pytest.approx((test["label"] == test["predicted"]).mean())
    assert [entry.name for entry in found.corruptions] == ["contrast", "noise"]
    for corruption in found.corruptions:
        assert [score.strength for score in corruption.scores] == [1, 2, 3]
        for score in corruption.scores:
            lost = score.accuracy_lost
            assert lost.value == pytest.approx(found.accuracy.value - score.accuracy.value)
            assert lost.low <= lost.value <= lost.high
            balanced = score.balanced_accuracy_lost
            expected = found.balanced_accuracy.value - score.balanced_accuracy.value
            assert balanced.value == pytest.approx(expected)


def test_loss_is_positive_if_corrupted_images_are_predicted_worse(setting, monkeypatch):
    model, store, predictions, image_table = setting
    test = predictions.frame.assign(predicted=predictions.frame["label"])
    swap = dict(zip(model.classes, model.classes[::-1], strict=True))

    def wrong_for_six_images(*_):
        predicted = test["label"].where(np.arange(len(test)) >= 6, test["label"].map(swap))
        return test.assign(predicted=predicted)

    monkeypatch.setattr("skin_lesions.evaluation.predictions.predict_images", wrong_for_six_images)
    right = replace(predictions, frame=test)
    score = robustness(right, image_table, model, store, evaluate()).corruptions[0].scores[0]
    assert score.accuracy_lost.value == pytest.approx(6 / len(test))
    assert score.accuracy.value == pytest.approx(1 - 6 / len(test))
    assert score.balanced_accuracy_lost.value > 0


def test_network_sees_the_corrupted_images(setting):
    """Images with less contrast are more similar, and so are their predictions."""
    model, store, predictions, _ = setting
    images = predictions.frame["image_id"].tolist()

    def gray(dataset):
        return CorruptedImages.of(
            dataset, image_ids=images, corruption="contrast", strength=3, seed=0
        )

    plain = predict_images(model, store, predictions.frame, 8, "cpu")
    found = predict_images(model, store, predictions.frame, 8, "cpu", gray)
    columns = [f"p_{name}" for name in model.classes]
    assert np.ptp(found[columns[0]]) < np.ptp(plain[columns[0]])
    assert found["file"].tolist() == plain["file"].tolist()


def test_result_does_not_depend_on_the_batch_size(setting):
    model, store, predictions, image_table = setting
    only_noise = {"enabled": True, "corruptions": ["noise"]}
    small = robustness(
        predictions, image_table, model, store, evaluate(batch_size=7, robustness=only_noise)
    )
    large = robustness(
        predictions, image_table, model, store, evaluate(batch_size=64, robustness=only_noise)
    )
    for a, b in zip(small.corruptions[0].scores, large.corruptions[0].scores, strict=True):
        assert a.accuracy.value == b.accuracy.value


def test_worst_corruption_has_the_largest_loss():
    made_up = two_classes().robustness
    corruption, score = made_up.worst()
    assert (corruption.name, score.strength) == ("ruler", 3)


def test_json_form_contains_everything():
    made_up = two_classes().robustness
    assert RobustnessResult.model_validate_json(made_up.model_dump_json()) == made_up


def test_importing_the_result_does_not_import_torch():
    code = (
        "import sys, skin_lesions.evaluation.robustness, skin_lesions.pipelines.compare; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
