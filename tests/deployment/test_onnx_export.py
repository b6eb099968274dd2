"""The exported network has the outputs of the original one."""

import os

import numpy as np
import onnx
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.onnx_export import export_onnx
from skin_lesions.deployment.onnx_session import open_session
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.postprocessing.probabilities import class_probabilities
from skin_lesions.models.postprocessing.unknown_score import UnknownScorer
from support.bundles import exportable_model, random_images

# Architecture, image size, and whether the head is global average pooling and one linear layer.
QUICK = [("resnet18", 64, True), ("timm/test_efficientnet", 64, True)]
SLOW = [
    ("mobilenet_v3_small", 64, False),  # a hidden layer in the head
    ("efficientnet_b0", 64, True),
    ("convnext_tiny", 64, False),  # a normalization layer in the head
    pytest.param(  # a class token, as timm/test_vit
        *("vit_b_16", 224, False),
        marks=pytest.mark.skipif("SOAK_KILLS" not in os.environ, reason="long: make soak runs it"),
    ),
    ("swin_t", 64, True),  # channels last
    ("squeezenet1_1", 64, False),  # a convolution as head
    ("timm/test_vit", 160, False),
]


def run(network: bytes, images: np.ndarray) -> dict[str, np.ndarray]:
    session = open_session(network)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


def check(architecture: str, size: int, *, has_map: bool) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    model = exportable_model(architecture, size=size)
    network = export_onnx(model)
    predictor, fitted = TorchPredictor(model, "cpu"), model.postprocessing
    scorer = UnknownScorer(fitted.unknown_score.statistics)
    for n in (1, 4, 7):
        images = random_images(n, size, seed=n)
        found, expected = run(network, images), predictor.outputs(images)
        np.testing.assert_allclose(found["logits"], expected.logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["features"], expected.features, rtol=1e-3, atol=1e-4)
        probabilities = class_probabilities(
            expected.logits, fitted.calibration.temperature, fitted.frequencies
        ).frequency
        np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
        scores = scorer.scores(expected.logits, expected.features)
        np.testing.assert_allclose(found["unknown_score"], scores, rtol=1e-3)
        assert np.std(found["logits"]) > 0.01 or n == 1  # different images have different logits
        assert ("feature_map" in found) == has_map
        if has_map:
            means = found["feature_map"].mean(axis=(2, 3))
            np.testing.assert_allclose(means, found["features"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("architecture", "size", "has_map"), QUICK)
def test_outputs_are_those_of_torch_for_any_number_of_images(architecture, size, has_map):
    check(architecture, size, has_map=has_map)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "size", "has_map"), SLOW)
def test_outputs_of_other_architectures_are_those_of_torch(architecture, size, has_map):
    check(architecture, size, has_map=has_map)


def test_batch_and_metadata_are_in_the_file():
    model = exportable_model(method="energy")
    proto = onnx.load_from_string(export_onnx(model))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["skin_lesions.classes"] == '["nv", "mel"]'
    assert metadata["skin_lesions.model_version"] == model.version
    assert metadata["skin_lesions.input"] == "uint8 (n, 64, 64, 3), RGB"
    [images] = proto.graph.input
    assert [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim] == [
        *("batch", 64, 64, 3)
    ]
    assert not any(tensor.external_data for tensor in proto.graph.initializer)


def test_error_of_an_architecture_that_cannot_be_exported_names_it(monkeypatch):
    def fail(*args, **options):
        raise torch.onnx.OnnxExporterError("step 2") from RuntimeError("unsupported operator\nx")

    monkeypatch.setattr(torch.onnx, "export", fail)
    message = r"resnet18 cannot be exported to ONNX with torch \S+ \(unsupported operator\)"
    with pytest.raises(InputError, match=message):
        export_onnx(exportable_model())
