"""What clinical metadata add to the image, on test images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.tabular import fit_encoder
from skin_lesions.evaluation.fusion import compute_fusion_results
from skin_lesions.models.postprocessing.metadata_fusion import fit_metadata_model, fused_logits
from skin_lesions.models.postprocessing.probabilities import class_probabilities
from skin_lesions.pipelines.evaluate.nodes import measure_fusion
from support.clinical import CLASSES, clinical_table
from support.factories import EVALUATE
from support.report_inputs import Study

N = 600


def study(informative="values", weight=1.0):
    """Return a model of images and metadata, its predictions of N test images, and their rows."""
    made = Study(labels=list(CLASSES), images_per_class=[200] * 3)
    train, test = clinical_table(N, informative, 1), clinical_table(N, informative, 2)
    fusion = replace(
        fit_metadata_model(fit_encoder(train, ["age", "sex", "site"], {}), train, CLASSES),
        weight=weight,
    )
    fitted = replace(made.model.postprocessing, metadata_fusion=fusion)
    model = made.model.model_copy(update={"postprocessing": fitted})
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(N, 3))
    logits[np.arange(N), pd.Index(CLASSES).get_indexer(pd.Index(test["label"]))] += 1.5
    temperature = fitted.calibration.temperature
    image = class_probabilities(logits, temperature, fitted.frequencies)
    both = class_probabilities(
        fused_logits(logits, fusion, temperature, test), temperature, fitted.frequencies
    )
    frame = test[["file", "image_id", "group_id", "label"]].assign(
        split="test",
        is_leaked=False,
        predicted=[CLASSES[c] for c in both.predicted],
        **{f"p_{name}": both.frequency[:, c] for c, name in enumerate(CLASSES)},
    )
    predictions = replace(made.predictions, frame=frame)
    return model, predictions, test, image, made


def results(*arguments, **changes):
    model, predictions, test, _, made = study(*arguments, **changes)
    fusion = model.postprocessing.metadata_fusion
    provenance = made.metrics.provenance
    return compute_fusion_results(predictions, test, model, fusion, EVALUATE, provenance)


def test_result_of_the_image_alone_follows_from_the_predictions():
    model, predictions, test, image, made = study()
    fusion = model.postprocessing.metadata_fusion
    found = compute_fusion_results(
        predictions, test, model, fusion, EVALUATE, made.metrics.provenance
    )
    label = pd.Index(CLASSES).get_indexer(pd.Index(test["label"]))
    correct = image.predicted == label
    expected = np.mean([correct[label == c].mean() for c in range(3)])
    by_metadata = found.overall.by_metadata["balanced_accuracy"]
    assert by_metadata.baseline.value == pytest.approx(expected, abs=1e-12)
    assert found.missing[-1].balanced_accuracy == pytest.approx(expected, abs=1e-12)
    assert found.missing[-1].lowest == found.missing[-1].highest
    of_both = (predictions.frame["predicted"] == test["label"]).to_numpy()
    expected = np.mean([of_both[label == c].mean() for c in range(3)])
    assert by_metadata.candidate.value == pytest.approx(expected, abs=1e-12)
    assert found.missing[0].balanced_accuracy == pytest.approx(expected, abs=1e-12)
    assert found.overall.known == test[["age", "sex", "site"]].notna().any(axis=1).sum()


def test_informative_metadata_are_better_and_fewer_of_them_are_worse():
    found = results()
    assert found.overall.by_metadata["balanced_accuracy"].verdict == "candidate_better"
    assert found.overall.by_image["balanced_accuracy"].verdict == "candidate_better"
    accuracies = [level.balanced_accuracy for level in found.missing]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1] + 0.03
    assert set(found.sources) == {"a", "b"}
    assert sum(entry.n for entry in found.sources.values()) == N


def test_no_difference_is_shown_for_metadata_without_information():
    found = results("neither", weight=0.3)
    assert found.overall.by_metadata["balanced_accuracy"].verdict == "no_difference_shown"


def test_changed_values_change_predictions_only_through_informative_columns():
    columns = {column.name: column for column in results().columns}
    assert columns["age"].changed.value > 0.1
    assert columns["age"].changed.value > columns["age"].removed.value > 0
    assert columns["sex"].changed.value < 0.05
    assert columns["site"].known == columns["site"].changed.n
    unweighted = {column.name: column for column in results(weight=0.0).columns}
    assert unweighted["age"].changed.value == unweighted["age"].removed.value == 0


def test_value_of_two_is_replaced_by_the_other_one():
    model, predictions, test, _, made = study()
    fusion = model.postprocessing.metadata_fusion
    found = compute_fusion_results(
        predictions, test, model, fusion, EVALUATE, made.metrics.provenance
    )
    swapped = test.assign(site=test["site"].map({"face": "back", "back": "face"}))
    fitted = model.postprocessing
    frequency = predictions.frame[[f"p_{name}" for name in CLASSES]].to_numpy()
    image = np.log(frequency) - fusion.evidence(fusion.encoder.encode(test))
    scores = image + fusion.evidence(fusion.encoder.encode(swapped))
    logits = scores - fitted.frequencies.log_ratio_to_training
    after = class_probabilities(logits, 1.0, fitted.frequencies).predicted
    changed = np.array(CLASSES)[after] != predictions.frame["predicted"]
    [site] = [column for column in found.columns if column.name == "site"]
    assert site.changed.value == pytest.approx(changed[test["site"].notna()].mean())
    assert site.changed.value > 0.05


def test_model_of_images_only_has_no_results():
    made = Study(labels=list(CLASSES), images_per_class=[20] * 3)
    found = measure_fusion(made.predictions, made.image_table, made.model, EVALUATE)
    assert not found.measured
    assert found.reason == "the model uses no metadata"
