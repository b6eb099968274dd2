"""Versions of a bundle are complete folders."""

import json

import pytest
from kedro.io import DatasetError, Version

from skin_lesions.datasets import AtomicVersionedDataset
from skin_lesions.deployment import bundle_writer
from support.bundles import bundle_of, exportable_model

MODEL = exportable_model()


def dataset(folder, version=None):
    return AtomicVersionedDataset(
        filepath=str(folder / "bundle"),
        dataset={"type": "skin_lesions.datasets.ModelBundleDataset"},
        version=Version(None, version),
    )


def test_saved_folder_is_a_version_that_can_be_loaded(tmp_path):
    saved = dataset(tmp_path, "V1")
    saved.save(bundle_of(MODEL))
    predictor = dataset(tmp_path).load()
    assert predictor.description.version == MODEL.version
    assert predictor.folder == tmp_path / "bundle" / "V1" / "bundle"
    assert json.loads(dataset(tmp_path).preview())["label_names"] == ["nv", "mel"]


def test_interrupted_export_leaves_no_version(tmp_path, monkeypatch):
    def interrupt(model, license_name):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle_writer, "config_text", interrupt)
    saved = dataset(tmp_path, "V1")
    with pytest.raises(KeyboardInterrupt):
        saved.save(bundle_of(MODEL, network=b""))
    assert list((tmp_path / "bundle" / "V1").iterdir()) == []
    assert not dataset(tmp_path).exists()


def test_changed_version_is_reported_with_the_file(tmp_path):
    dataset(tmp_path, "V1").save(bundle_of(MODEL, network=b""))
    (tmp_path / "bundle" / "V1" / "bundle" / "model.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"model.json has changed"):
        dataset(tmp_path).load()
