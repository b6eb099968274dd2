"""End-to-end runs of `export`, and of the pipelines that use a bundle."""

import logging

import numpy as np
import pytest

from support.factories import write_files
from support.scripts import rows_of, run_script

pytestmark = pytest.mark.slow


@pytest.fixture
def exported(demo_copy, caplog):
    """Export the model of the demo; return study and folder of the bundle."""
    caplog.set_level(logging.INFO, "skin_lesions")
    demo_copy.run("export")
    [version] = demo_copy.versions("model_bundle")
    folder = demo_copy.data_root / "06_models/bundle" / version / "bundle"
    assert "ONNX network checked on 32 images" in caplog.text
    assert f"Model bundle: {folder}" in caplog.text
    return demo_copy, folder


def test_bundle_predicts_the_test_images_as_evaluate_does(exported, tmp_path):
    study, folder = exported
    split, raw = study.table("split_table"), study.load("raw_images")
    rows = split[split["split"] == "test"]
    files = {row.file: raw.store.get(row.image_id) for row in rows.itertuples()}
    images = write_files(tmp_path / "new", files)
    study.run("predict", predict={"input": str(images), "model": str(folder)})
    found = study.load("new_predictions").set_index("file")
    expected = study.table("predictions").set_index("file").loc[found.index]
    assert set(found["model_version"]) == {study.versions("model")[0]}
    names = [name for name in found if name.startswith("p_")]
    # Pillow resizes: see docs/decisions/0099.
    np.testing.assert_allclose(found[names], expected[names], rtol=0, atol=0.01)
    assert (found["predicted"] == expected["predicted"]).mean() > 0.98
    some = list(files)[:5]
    for row in rows_of(run_script(folder, images, *some)):
        ours = found.loc[row["file"]]
        assert row["predicted"] == ours["predicted"]
        assert row["image_id"] == ours["image_id"]
        assert row["prediction_set"] == (ours["prediction_set"] or "")
        assert row["refer_reason"] == (ours["refer_reason"] or "")
        np.testing.assert_allclose([float(row[n]) for n in names], list(ours[names]), atol=0.01)


def test_training_continues_from_a_bundle_and_records_its_images(exported):
    study, folder = exported
    before = study.load("model")
    study.run("train", train={"weights": str(folder)})
    after = study.load("model")
    assert after.version > before.version
    assert after.initial_weights.weights == "bundle"
    assert after.initial_weights.head == "loaded"
    assert after.initial_weights.train_image_ids == before.train_image_ids
    assert after.initial_weights.leakage is None
