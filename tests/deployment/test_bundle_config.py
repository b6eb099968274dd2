"""timm builds the network of a bundle from its folder."""

import json

import pytest
import torch

from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.deployment.bundle_config import config_text
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.models.inference import load_network
from support.bundles import bundle_of, exportable_model, random_images


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("timm/test_efficientnet.r160_in1k", 64), ("timm/test_vit", 160), ("timm/test_convnext", 64)],
)
@torch.no_grad()
def test_timm_loads_the_bundle_with_the_same_logits(architecture, size, tmp_path):
    timm = pytest.importorskip("timm")
    model = exportable_model(architecture, size=size)
    write_bundle(bundle_of(model, network=b"not used"), tmp_path / "bundle")
    network = timm.create_model(f"local-dir:{tmp_path / 'bundle'}", pretrained=True).eval()
    images = torch.from_numpy(random_images(3, size)).permute(0, 3, 1, 2)
    inputs = normalize_batch(images, model.preprocessing)
    torch.testing.assert_close(network(inputs), load_network(model).eval()(inputs))
    data = timm.data.resolve_data_config(model=network)
    assert data == {
        "input_size": [3, size, size],
        "interpolation": "bilinear",
        "mean": list(model.preprocessing.mean),
        "std": list(model.preprocessing.std),
        "crop_pct": 1.0,
        "crop_mode": "squash",
    }
    assert network.pretrained_cfg["label_names"] == ["nv", "mel"]


@pytest.mark.parametrize(
    ("architecture", "head", "features"),
    [
        ("resnet18", "fc", 512),
        ("mobilenet_v3_small", "classifier.3", 1024),
        ("squeezenet1_0", "classifier.1", 512),
    ],
)
def test_architectures_of_torchvision_have_the_same_keys(architecture, head, features):
    config = json.loads(config_text(exportable_model(architecture), "other"))
    assert config["architecture"] == architecture
    assert config["library"] == "torchvision"
    assert config["num_features"] == features
    assert config["label_names"] == ["nv", "mel"]
    assert config["pretrained_cfg"]["classifier"] == head
    assert config["pretrained_cfg"]["license"] == "other"


def test_center_crop_and_licenses_are_recorded():
    model = exportable_model()
    cropped = model.preprocessing.__class__("center_crop", 96, 64)
    model = model.model_copy(update={"preprocessing": cropped})
    assert json.loads(config_text(model, "unknown"))["pretrained_cfg"]["crop_mode"] == "center"
