"""A bundle contains what others need, and no data about patients."""

import json
import sys

import pandas as pd
import pytest
from safetensors.torch import load_file

from skin_lesions.core.errors import InputError
from skin_lesions.data.tables import SplitTable
from skin_lesions.deployment.bundle_content import split_manifest
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.licenses import licenses_text
from skin_lesions.models.bundle_files import CHECKSUMS, FILES
from skin_lesions.models.weights_origin import WeightsOrigin
from support.bundles import CARD, bundle_of, exportable_model
from support.models import SPLIT_PROVENANCE, model_provenance

FRAME = pd.DataFrame(
    {
        "file": ["d.png", "a.png", "b.png", "c.png"],
        "image_id": ["test_image", "image1", "image0", "image2"],
        "split": ["test", "train", "train", "val"],
        "patient_id": "P1",
        "label": "nv",
    }
)


def table(frame=FRAME):
    return SplitTable(frame, SPLIT_PROVENANCE, "V1")


def test_bundle_has_all_files_and_nothing_else(bundle_model):
    folder, model = bundle_model
    assert {path.name for path in folder.iterdir()} == {*FILES, CHECKSUMS}
    assert (folder / "README.md").read_text(encoding="utf-8") == CARD
    tensors = load_file(folder / "model.safetensors")
    assert tensors.keys() == model.state_dict.keys()
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())


def test_model_json_has_the_steps_after_the_network_but_no_image_ids(bundle_model):
    folder, model = bundle_model
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    fitted = model.postprocessing
    assert content["postprocessing"]["calibration"]["temperature"] == (
        fitted.calibration.temperature
    )
    assert content["postprocessing"]["unknown_score"]["threshold"] == fitted.unknown_score.threshold
    assert "train_image_ids" not in content


def test_script_is_short_and_has_no_other_imports_than_promised(bundle_model):
    text = (bundle_model[0] / "predict.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120


def test_manifest_has_image_and_split_only(bundle_model):
    manifest = split_manifest(table(), bundle_model[1])
    assert manifest.to_dict("list") == {
        "image_id": ["test_image", "image0", "image1", "image2"],
        "split": ["test", "train", "train", "val"],
    }


@pytest.mark.parametrize(("image_id", "split"), [("image1", "train"), ("image2", "val")])
def test_split_table_of_other_images_is_rejected(bundle_model, image_id, split):
    frame = FRAME.replace({"image_id": {image_id: "other"}})
    with pytest.raises(InputError, match=rf"The {split} images of the split table \(V1\)"):
        split_manifest(table(frame), bundle_model[1])


def test_known_and_unknown_licenses_are_stated():
    origin = SPLIT_PROVENANCE.origin.model_copy(update={"license_notes": ("Images: CC-BY-4.0.",)})
    model = exportable_model(
        provenance=model_provenance(origin=origin),
        initial_weights=WeightsOrigin(weights="imagenet", file="resnet18-f37072fd.pth"),
    )
    text = licenses_text(model)
    assert "CC-BY-4.0" in text
    assert "have an unknown license" in text
    assert "The license of the trained weights" in text
    assert "does not state the license of its images" in licenses_text(exportable_model())


def test_missing_safetensors_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(InputError, match=r"requires safetensors.*skin-lesions\[export\]"):
        write_bundle(bundle_of(exportable_model(), network=b""), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
