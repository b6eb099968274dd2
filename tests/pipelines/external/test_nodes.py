"""A trained model on generated sets: equal in distribution, and from another camera."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from skin_lesions.config.external import External
from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import ImageProvenance, Origin, PredictionProvenance
from skin_lesions.data.tables import ImageTable, PredictionTable, SplitTable
from skin_lesions.data.training_overlap import TrainingOverlap
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.pipelines.external.nodes import (
    evaluate_predictions,
    predict,
    read_source,
)
from support.factories import EVALUATE, class_folders, write_files
from support.imagesets import blobs, square_images
from support.models import SPLIT_PROVENANCE
from support.training import calibrate_stored, fit_stored, predict_stored

SIZE = 32
MODEL_VERSION, PREDICTIONS_VERSION = "v2", "v3"


def external(**given):
    unset = dict.fromkeys(
        [
            *("folder", "metadata", "metadata_key", "label_column", "label_map"),
            "filename_pattern",
        ]
    )
    values = {"kind": "folder", "follow_symlinks": False, "demo": {"seed": 6}, **unset}
    return External.model_validate(values | {"name": "b"} | given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[TrainedModel, PredictionTable]:
    """Train a model once; return it with the predictions of its test images."""
    folder = tmp_path_factory.mktemp("trained")
    # Noise hides the difference of the classes in some images: the model is good, not perfect.
    pixels, table = faint(400, seed=0)
    square_images(PixelStore(folder).at(SIZE).folder, pixels)
    stored = (PixelStore(folder), SplitTable(table, SPLIT_PROVENANCE, "v1"))
    model, _ = fit_stored(stored, epochs=4)
    calibrated = calibrate_stored(model, stored).with_version(MODEL_VERSION)
    provenance = PredictionProvenance(
        model_version=MODEL_VERSION,
        split_table_version="v1",
        image_table_version="v1",
        raw_images_version="v1",
    )
    predictions = PredictionTable(predict_stored(calibrated, stored), provenance)
    return calibrated, predictions.with_version(PREDICTIONS_VERSION)


def faint(n, seed):
    """Make images of two classes whose difference in color is sometimes small."""
    pixels, table = blobs(n, SIZE, seed)
    rng = np.random.default_rng(seed + 100)
    shift = rng.normal(0, 60, n)
    pixels = pixels.astype(int)
    pixels[..., 0] += shift.astype(int)[:, None, None]
    return pixels.clip(0, 255).astype(np.uint8), table


def other_camera(pixels):
    """Return the images of a camera with another white balance and a blurred lens."""
    shifted = pixels * np.array([0.45, 1.0, 1.2])
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.0) for image in shifted])
    return blurred.clip(0, 255).astype(np.uint8)


def validate(trained, pixels, table, folder, overlapping=()):
    """Predict and evaluate external images."""
    model, internal = trained
    ids = [f"external{i}" for i in range(len(table))]
    square_images(PixelStore(folder).at(SIZE).folder, pixels)
    frame = pd.DataFrame(
        {
            "file": table["file"],
            "image_id": [f"image{i}" for i in range(len(table))],
            "label": table["label"],
            "source": np.where(np.arange(len(table)) % 2, "room 1", "room 2"),
        }
    )
    groups = frame[["file", "image_id"]].assign(pixel_id=ids, group_id=ids)
    provenance = ImageProvenance(origin=Origin(kind="folder", folder="b"), raw_images_version="v4")
    images = ImageTable(frame, provenance, "v4")
    overlap = TrainingOverlap.model_validate(
        {
            "model_version": MODEL_VERSION,
            "external_image_table_version": "v4",
            "training_images": 320,
            "originals_compared": 320,
            "squares_compared": 0,
            "images": [
                {
                    "file": file,
                    "image_id": "x",
                    "kind": "image_id",
                    "strength": 1.0,
                    "training_image_id": "x",
                    "training_split": "train",
                }
                for file in overlapping
            ],
        }
    )
    predictions = predict(images, groups, overlap, PixelStore(folder), model, external(), EVALUATE)
    stored = StoredVersions(
        "predictions", (PREDICTIONS_VERSION,), {PREDICTIONS_VERSION: internal}.__getitem__, Path
    )
    quarantine = pd.DataFrame({"file": ["broken.jpg"], "reason": ["empty"]})
    results = evaluate_predictions(
        predictions, images, groups, quarantine, overlap, model, stored, external(), EVALUATE
    )
    return predictions, results


def test_set_of_equal_distribution_shows_no_difference(trained, tmp_path):
    _, results = validate(trained, *faint(200, seed=1), tmp_path)
    difference = results.all_outputs.differences["balanced_accuracy"]
    assert difference.low < 0 < difference.high
    assert results.unknown.difference.low < 0 < results.unknown.difference.high
    assert results.all_outputs.external["balanced_accuracy"].value > 0.7
    best = results.temperature.best
    assert best.low < results.temperature.of_model < best.high
    assert results.name == "b"
    assert results.provenance.internal_predictions == PREDICTIONS_VERSION


def test_drop_on_images_of_another_camera_is_found(trained, tmp_path):
    pixels, table = faint(200, seed=1)
    _, results = validate(trained, other_camera(pixels), table, tmp_path)
    difference = results.all_outputs.differences["balanced_accuracy"]
    assert difference.high < -0.1
    assert results.all_outputs.differences["log_loss"].low > 0
    assert results.all_outputs.external.calibration.overconfidence.low > 0


def test_model_file_is_applied_unchanged(trained, tmp_path):
    pixels, table = faint(60, seed=2)
    predictions, results = validate(trained, pixels, table, tmp_path)
    fitted = trained[0].postprocessing
    flagged = predictions.frame["unknown_score"] > fitted.unknown_score.threshold
    assert predictions.frame["is_unknown"].tolist() == flagged.tolist()
    assert results.temperature.of_model == fitted.calibration.temperature
    selective = results.uncertainty.external.selective
    assert selective.referral.min_confidence == fitted.referral.min_confidence
    assert results.uncertainty.external.conformal.target_coverage == fitted.conformal.coverage


def test_overlapping_files_are_predicted_and_left_out(trained, tmp_path):
    pixels, table = faint(60, seed=2)
    overlapping = table["file"].tolist()[:10]
    predictions, results = validate(trained, pixels, table, tmp_path, overlapping)
    marked = predictions.frame.loc[predictions.frame["is_leaked"], "file"]
    assert sorted(marked) == sorted(overlapping)
    assert results.counts.model_dump() == {
        "files": 61,
        "quarantined": 1,
        "ignored": 0,
        "conflicting": 0,
        "repeated": 0,
        "overlapping": 10,
        "evaluated": 50,
        "groups": 50,
    }
    assert results.overlap.counts == {"image_id": 10}


def test_subgroups_are_those_of_the_external_images(trained, tmp_path):
    _, results = validate(trained, *faint(60, seed=2), tmp_path)
    (column,) = [entry for entry in results.slices.columns if entry.column == "source"]
    assert {entry.value: entry.n for entry in column.slices} == {"room 1": 30, "room 2": 30}


def test_label_without_a_class_stops_before_any_image_is_read(trained, tmp_path):
    model, _ = trained
    folder = write_files(tmp_path / "b", class_folders("green", "purple", each=2))
    with pytest.raises(InputError, match='"purple": CHOOSE  # 2 images'):
        read_source(model, external(folder=str(folder)))
    label_map = tmp_path / "map.yml"
    label_map.write_text("purple: ignore\n")
    request = read_source(model, external(folder=str(folder), label_map=str(label_map)))
    assert request.size == model.preprocessing.stored_image_size
    assert len(request.files.table) == 4
