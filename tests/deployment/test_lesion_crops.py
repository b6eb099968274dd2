"""A model of crops: model file, bundle, script and page classify the same part of an image."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.deployment.app.analysis import Analyzer
from skin_lesions.deployment.app.uploads import Upload
from skin_lesions.deployment.bundle import read_bundle
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.bundle_files import NETWORK
from skin_lesions.models.localization.stored_localizers import select_localizer
from skin_lesions.models.networks import create_network
from support.bundles import VERSION, bundle_of, exportable_model
from support.factories import encoded
from support.localization import lesion_images, localizer_of
from support.predictors import predicted_rows
from support.scripts import lesion_corners, rows_of, run_script


@pytest.fixture(scope="module")
def crop_bundle(bundle_model, tmp_path_factory):
    """Write the bundle of a model of crops once; return folder and model."""
    original, model = bundle_model
    localizer = localizer_of(model)
    preprocessing = replace(model.preprocessing, lesion_margin=0.25)
    model = model.model_copy(update={"preprocessing": preprocessing, "localizer": localizer})
    folder = tmp_path_factory.mktemp("crops") / "bundle"
    own = localizer.with_version(VERSION)
    write_bundle(bundle_of(model, (original / NETWORK).read_bytes(), own), folder)
    return folder, model


def probabilities(rows):
    return np.array([row.prediction.probabilities for row in rows if row.prediction is not None])


def test_bundle_and_model_file_classify_the_same_crops(crop_bundle, lesion_files):
    folder, model = crop_bundle
    original, exported = TorchPredictor(model, "cpu"), read_bundle(folder)
    assert exported.description == original.description
    assert exported.description.localizer_version == VERSION
    first, second = predicted_rows(original, lesion_files), predicted_rows(exported, lesion_files)
    # The images are resized by torch and by Pillow, which round differently.
    np.testing.assert_allclose(probabilities(first), probabilities(second), atol=0.01)
    assert [row.error is None for row in first] == [True] * 4 + [False]
    complete = model.model_copy(
        update={
            "preprocessing": replace(model.preprocessing, lesion_margin=None),
            "localizer": None,
        }
    )
    others = predicted_rows(TorchPredictor(complete, "cpu"), lesion_files)
    assert np.abs(probabilities(first) - probabilities(others)).max() > 0.03


def test_script_has_the_rows_of_the_package(crop_bundle, lesion_files):
    predictor = read_bundle(crop_bundle[0])
    expected = predicted_rows(predictor, lesion_files)
    names = sorted(path.name for path in lesion_files.iterdir())
    found = rows_of(run_script(crop_bundle[0], lesion_files, *names))
    for row, cells in zip(expected, found, strict=True):
        if row.prediction is None:
            assert cells["refer_reason"] == "unreadable"
            continue
        assert lesion_corners(cells) == row.lesions.boxes[0].tolist()
        classes = predictor.description.classes
        of_script = [float(cells[f"p_{name}"]) for name in classes]
        np.testing.assert_allclose(of_script, row.prediction.probabilities, atol=1e-4)


def test_page_shows_the_crop(crop_bundle):
    analyzer = Analyzer(read_bundle(crop_bundle[0]))
    data = encoded(Image.fromarray(lesion_images(1, seed=3)[0]), "PNG")
    result = analyzer.analyze(Upload(file="a.png", size=len(data), data=data))
    left, top, width, height = result.shown_boxes[0]
    # The margin is a quarter of the longer side, so this side has two thirds of the crop.
    assert max(width, height) == pytest.approx(100 / 1.5, abs=4)
    assert (left + width / 2, top + height / 2) == pytest.approx((50, 50), abs=25)
    assert result.map_url is not None


def test_model_of_crops_takes_no_other_localizer(crop_bundle):
    _, model = crop_bundle
    with pytest.raises(InputError, match="has its own localizer. Expected no other one"):
        TorchPredictor(model, "cpu", localizer_of(exportable_model(), "mean_box"))
    none = StoredVersions("localizer", (), {}.__getitem__, {}.__getitem__)
    assert select_localizer("auto", none, model, "predict.localizer") is None


def test_bundle_of_crops_is_not_complete_without_its_localizer(crop_bundle, tmp_path):
    folder, model = crop_bundle
    write_bundle(bundle_of(model, (folder / NETWORK).read_bytes()), tmp_path / "bundle")
    with pytest.raises(InputError, match="crops around the lesion, and localizer.json is missing"):
        read_bundle(tmp_path / "bundle")


def test_bundle_of_crops_gives_initial_weights(crop_bundle):
    folder, model = crop_bundle
    found = create_network(
        architecture="resnet18",
        weights=str(folder / "model.safetensors"),
        weights_sha256=None,
        classes=model.classes,
        image_sizes=[64],
        seed=0,
    )
    assert found.origin.head == "loaded"


def test_localizer_json_has_no_image_ids(bundle_model, tmp_path):
    original, model = bundle_model
    localizer = localizer_of(model, "mean_box").model_copy(update={"val_image_ids": ("secret",)})
    write_bundle(bundle_of(model, (original / NETWORK).read_bytes(), localizer), tmp_path / "b")
    assert "val_image_ids" not in json.loads((tmp_path / "b/localizer.json").read_text())
