"""End-to-end runs of `predict`, also killed with kill -9."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.models.model_file import write_model
from support.bundles import write_small_bundle
from support.factories import jpeg_files, write_files
from support.models import trained_model
from support.study import Study

pytestmark = pytest.mark.slow

IN_PROGRESS = "07_model_output/new_predictions.in_progress"


@pytest.fixture
def new_images(demo_run, tmp_path):
    """Write the test images of the demo to a folder."""
    split, raw = demo_run.table("split_table"), demo_run.load("raw_images")
    rows = split[split["split"] == "test"]
    files = {row.file: raw.store.get(row.image_id) for row in rows.itertuples()}
    return write_files(tmp_path / "new", files)


def test_predictions_of_the_test_images_equal_those_of_evaluate(demo_run, demo_copy, new_images):
    write_files(new_images, {"broken.jpg": b"no image"})
    demo_copy.run("predict", predict={"input": str(new_images), "batch_size": 7})
    found = demo_copy.load("new_predictions").set_index("file")
    assert found.loc["broken.jpg", "refer_reason"] == "unreadable"
    expected = demo_run.table("predictions").set_index("file")
    expected = expected[expected["split"] == "test"]
    assert sorted(found.index) == sorted([*expected.index, "broken.jpg"])
    found = found.loc[expected.index]
    assert found["image_id"].equals(expected["image_id"])
    assert found["predicted"].tolist() == expected["predicted"].tolist()
    sets = [names.split("|") if names else [] for names in found["prediction_set"]]
    assert sets == [list(names) for names in expected["conformal_set"]]
    numbers = [name for name in found if name.startswith("p_")] + ["unknown_score"]
    assert numbers == [name for name in expected if name.startswith("p_")] + ["unknown_score"]
    np.testing.assert_allclose(found[numbers], expected[numbers], rtol=1e-6, atol=1e-6)
    is_unknown = found["refer_reason"].str.contains("unknown")
    assert is_unknown.tolist() == expected["is_unknown"].tolist()
    assert set(found["model_version"]) == {demo_copy.versions("model")[0]}


VERSIONS = ("2026-11-28T06.00.00.000Z", "2026-11-29T06.00.00.000Z")


@pytest.fixture
def models(project, tmp_path):
    """Create a data root with two versions of a small model, without a training."""
    study = Study(project, tmp_path / "data", "folder")
    for seed, version in enumerate(VERSIONS):
        torch.manual_seed(seed)
        path = model_path(study, version)
        path.parent.mkdir(parents=True)
        write_model(trained_model(), path)
    return study


def model_path(study, version):
    return study.data_root / "06_models/model.pth" / version / "model.pth"


def predictions_file(study):
    (path,) = (study.data_root / "07_model_output/new_predictions.csv").glob("*/*.csv")
    return path


@pytest.fixture
def images(tmp_path):
    return write_files(tmp_path / "new", jpeg_files(["1.jpg", "a/2.jpg", "a/3.png"]))


def test_newest_model_is_used_unless_another_version_is_selected(models, images):
    models.run("predict", predict={"input": str(images)})
    newest = models.load("new_predictions")
    assert set(newest["model_version"]) == {VERSIONS[1]}
    models.run("predict", predict={"input": str(images)}, load_versions={"model": VERSIONS[0]})
    older = models.load("new_predictions")
    assert set(older["model_version"]) == {VERSIONS[0]}
    assert older["file"].tolist() == newest["file"].tolist() == ["1.jpg", "a/2.jpg", "a/3.png"]
    assert not older["p_mel"].equals(newest["p_mel"])


def test_model_file_of_another_data_root_is_used_without_a_catalog_model(models, study, images):
    ours = study()
    path = model_path(models, VERSIONS[0])
    ours.run("predict", predict={"input": f"{images}/**/*.jpg", "model": str(path)})
    found = ours.load("new_predictions")
    assert set(found["model_version"]) == {VERSIONS[0]}
    assert found["file"].tolist() == ["1.jpg", "a/2.jpg"]


def test_bundle_is_used_instead_of_a_catalog_model(study, images, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    bundled = write_small_bundle(tmp_path / "bundle")
    ours = study()
    ours.run("predict", predict={"input": str(images), "model": str(tmp_path / "bundle")})
    assert set(ours.load("new_predictions")["model_version"]) == {bundled.version}


def test_one_run_has_one_model(models, images):
    given = {"input": str(images), "model": str(models.data_root / "x.pth")}
    with pytest.raises(InputError, match=r"evaluate\.predict uses the catalog model"):
        models.run("evaluate", "predict", predict=given)
    with pytest.raises(InputError, match="--load-versions selects the catalog model"):
        models.run("predict", predict=given, load_versions={"model": VERSIONS[0]})
    with pytest.raises(Exception, match=r"The model does not exist \(.*x\.pth\)"):
        models.run("predict", predict=given)


def test_missing_input_or_model_stops_before_the_first_node(study, tmp_path):
    with pytest.raises(InputError, match="predict.input is not set"):
        study().run("predict")
    with pytest.raises(InputError, match="This run reads model, but .* contains no version"):
        study().run("predict", predict={"input": str(tmp_path)})


def start(study, folder):
    params = f"data_root={study.data_root},predict.input={folder},predict.device=cpu"
    command = ["kedro", "run", "--env", study.env, "--pipelines", "predict", "--params", params]
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=study.project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def bytes_in_progress(study):
    return sum(path.stat().st_size for path in (study.data_root / IN_PROGRESS).glob("*.csv"))


def test_kills_at_random_moments_leave_no_duplicate_or_missing_row(models, tmp_path):
    folder = write_files(tmp_path / "new", jpeg_files([f"{i // 100}/{i}.jpg" for i in range(2000)]))
    models.run("predict", predict={"input": str(folder), "device": "cpu"})
    path = predictions_file(models)
    expected = path.read_bytes()
    assert expected.count(b"\n") == 2001
    shutil.rmtree(path.parents[1])
    rng = random.Random(0)
    for fraction in (0.0, 0.2, 0.5):  # of all bytes; more is written before the kill
        process = start(models, folder)
        while bytes_in_progress(models) <= fraction * len(expected):
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not list((models.data_root / "07_model_output").glob("new_predictions.csv/*/new*"))
    assert bytes_in_progress(models) > len(expected) / 2
    assert start(models, folder).wait() == 0
    assert predictions_file(models).read_bytes() == expected
    assert list((models.data_root / IN_PROGRESS).iterdir()) == []
