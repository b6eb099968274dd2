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
from skin_lesions.deployment.decisions import Postprocessor
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
    rows = rows_of(run_script(folder, tmp_path, *files))
    assert len(files) >= 8
    for path, row in zip(files, rows, strict=True):
        data = path.read_bytes()
        pixels = original.read(data)[None]
        [expected] = postprocessor.predictions(original.outputs(pixels))
        [equal_pixels] = postprocessor.predictions(exported.outputs(pixels))
        np.testing.assert_allclose(
            equal_pixels.probabilities, expected.probabilities, rtol=0, atol=1e-4
        )
        [from_file] = postprocessor.predictions(exported.outputs(exported.read(data)[None]))
        of_script = [float(row[f"p_{name}"]) for name in model.classes]
        for found in (from_file.probabilities, of_script):
            np.testing.assert_allclose(found, expected.probabilities, rtol=0, atol=0.01)
        assert row["predicted"] == from_file.predicted == expected.predicted
    assert len({row["predicted"] for row in rows}) > 5
