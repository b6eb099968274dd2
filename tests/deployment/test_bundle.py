"""A bundle predicts like the model file that it was made from."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.bundle import read_bundle
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.bundle_files import CHECKSUMS, FILES, write_checksums
from skin_lesions.models.grad_cam import grad_cam
from skin_lesions.models.inference import load_network
from skin_lesions.models.map_layers import MapLayer
from support.bundles import random_images


def test_bundle_has_the_outputs_and_the_description_of_the_model(bundle_model):
    folder, model = bundle_model
    predictor = read_bundle(folder)
    images = random_images(5, 64)
    found, expected = predictor.outputs(images), TorchPredictor(model, "cpu").outputs(images)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-3, atol=1e-4)
    assert predictor.description == ModelDescription.of(model)


def test_heat_map_is_grad_cam_at_the_last_layer(bundle_model):
    folder, model = bundle_model
    images = random_images(3, 64)
    classes = np.array([0, 1, 1])
    found = read_bundle(folder).heat_maps(images, classes)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(values).view(3, 1, 1) * 255
        for values in (model.preprocessing.mean, model.preprocessing.std)
    )
    layer = MapLayer(name="layer4", layout="channels_first", side=2)
    network = load_network(model).eval()
    expected = grad_cam(network, layer, (inputs - mean) / std, torch.from_numpy(classes))
    # Grad-CAM divides the weights by the number of positions.
    np.testing.assert_allclose(found, 4 * expected.numpy(), rtol=1e-3, atol=1e-4)
    assert (found > 0).any()


@pytest.mark.parametrize("name", [*FILES, CHECKSUMS])
def test_missing_file_is_named(bundle_copy, name):
    (bundle_copy / name).unlink()
    with pytest.raises(InputError, match=name):
        read_bundle(bundle_copy)


@pytest.mark.parametrize("name", FILES)
def test_changed_file_is_named_before_it_is_used(bundle_copy, name):
    path = bundle_copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} has changed: .* SHA256SUMS"):
        read_bundle(bundle_copy)


def test_bundle_of_another_format_is_rejected(bundle_copy):
    path = bundle_copy / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"format": 1}), encoding="utf-8")
    write_checksums(bundle_copy)
    with pytest.raises(InputError, match="another version of skin-lesions"):
        read_bundle(bundle_copy)


def test_network_that_onnx_runtime_cannot_read_is_reported(bundle_copy):
    (bundle_copy / "model.onnx").write_bytes(b"damaged")
    write_checksums(bundle_copy)
    with pytest.raises(InputError, match=r"model.onnx cannot be used with onnxruntime"):
        read_bundle(bundle_copy)


def test_missing_onnxruntime_is_reported_with_its_extra(bundle_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"requires onnxruntime.*skin-lesions\[export\]"):
        read_bundle(bundle_model[0])


def test_bundle_is_read_and_used_without_torch(bundle_model):
    """Also the pipelines and the model file need torch: the import is tested in a new process."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from skin_lesions.deployment.bundle import read_bundle\n"
        "predictor = read_bundle(Path(sys.argv[1]))\n"
        "images = np.zeros((2, 64, 64, 3), np.uint8)\n"
        "predictor.outputs(images)\n"
        "predictor.heat_maps(images, np.array([0, 1]))\n"
        "loaded = {'torch', 'torchvision', 'kedro'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code, bundle_model[0]], check=True)
