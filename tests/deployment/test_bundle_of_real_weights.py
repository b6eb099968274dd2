"""Real weights and real photographs: pipeline, bundle and script agree from the same files."""

from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.bundle import read_bundle
from skin_lesions.deployment.bundle_content import ModelBundle
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.decisions import Postprocessor, Prediction
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.networks import create_network
from skin_lesions.models.trained_model import TrainedModel
from support.bundles import bundle_of, exportable_model
from support.postprocessing import postprocessing, unknown_score
from support.scripts import rows_of, run_script

pytestmark = pytest.mark.slow

PHOTOGRAPHS = {
    "skimage.data": (
        *("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "gravel.png"),
        *("hubble_deep_field.jpg", "ihc.png", "retina.jpg", "rocket.jpg", "motorcycle_left.png"),
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    found = [
        Path(str(resources.files(package) / name))
        for package, names in PHOTOGRAPHS.items()
        for name in names
    ]
    return [path for path in found if path.is_file()]


@pytest.fixture(scope="module")
def exported(efficientnet_lite0) -> ModelBundle:
    """Export a model of the 1,000 classes of ImageNet."""
    classes = tuple(f"class {i}" for i in range(1000))
    initial = create_network(
        architecture="timm/tf_efficientnet_lite0",
        weights=str(efficientnet_lite0),
        weights_sha256=None,
        classes=classes,
        image_sizes=[192],
        seed=0,
    )
    assert initial.origin.head == "loaded"
    fitted = postprocessing((1,) * 1000, unknown_score=unknown_score(1280))
    model = exportable_model(
        architecture="timm/tf_efficientnet_lite0",
        classes=classes,
        preprocessing=Preprocessing("stretch", 256, 192, initial.mean, initial.std),
        test_time_augmentation="none",
        state_dict=initial.network.state_dict(),
        postprocessing=replace(fitted, calibration=replace(fitted.calibration, temperature=1.0)),
    )
    return bundle_of(model)


@pytest.fixture(params=["stretch", "center_crop"])
def bundle(request, exported, tmp_path) -> tuple[TrainedModel, Path]:
    """Write a bundle with this resize mode; return model and folder."""
    preprocessing = replace(exported.model.preprocessing, resize_mode=request.param)
    model = exported.model.model_copy(update={"preprocessing": preprocessing})
    write_bundle(replace(exported, model=model), tmp_path / "bundle")
    return model, tmp_path / "bundle"


def test_classes_and_probabilities_of_photographs_agree(bundle, files, tmp_path):
    """From equal pixels to 1e-4; from files to 0.01, because Pillow rounds differently."""
    model, folder = bundle
    original, exported = TorchPredictor(model, "cpu"), read_bundle(folder)
    postprocessor = Postprocessor(original.description)
    contents = [path.read_bytes() for path in files]
    pixels = np.stack([original.read(data) for data in contents])
    pillow_pixels = np.stack([exported.read(data) for data in contents])
    expected = postprocessor.predictions(original.outputs(pixels))
    equal_pixels = postprocessor.predictions(exported.outputs(pixels))
    from_files = postprocessor.predictions(exported.outputs(pillow_pixels))
    rows = rows_of(run_script(folder, tmp_path, *files))
    of_script = [[float(row[f"p_{name}"]) for name in model.classes] for row in rows]
    difference = largest_difference(equal_pixels, expected)
    assert difference <= 1e-4, difference
    difference = largest_difference(from_files, expected)
    assert difference <= 0.01, difference
    np.testing.assert_allclose(of_script, probabilities(from_files), rtol=0, atol=0.001)
    predicted = [prediction.predicted for prediction in expected]
    assert [prediction.predicted for prediction in from_files] == predicted
    assert [row["predicted"] for row in rows] == predicted
    assert len(files) >= 8
    assert len(set(predicted)) > 5


def probabilities(predictions: list[Prediction]) -> np.ndarray:
    return np.array([prediction.probabilities for prediction in predictions])


def largest_difference(found: list[Prediction], expected: list[Prediction]) -> float:
    return float(np.abs(probabilities(found) - probabilities(expected)).max())
