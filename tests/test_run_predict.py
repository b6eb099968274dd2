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

from skin_lesions.core.errors import InputError
from support.factories import jpeg_files, write_files

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


def test_model_file_of_another_data_root_is_used_without_a_catalog_model(
    demo_run, study, new_images
):
    (model,) = (demo_run.data_root / "06_models/model.pth").glob("*/model.pth")
    ours = study()
    ours.run("predict", predict={"input": f"{new_images}/**/*", "model": str(model)})
    found = ours.load("new_predictions")
    assert set(found["model_version"]) == {demo_run.versions("model")[0]}
    assert len(found) == sum(path.is_file() for path in new_images.rglob("*"))


def test_one_run_has_one_model(demo_copy, new_images, demo_run):
    given = {"input": str(new_images), "model": str(demo_run.data_root / "x.pth")}
    with pytest.raises(InputError, match=r"evaluate\.predict uses the catalog model"):
        demo_copy.run("evaluate", "predict", predict=given)
    (version,) = demo_copy.versions("model")
    with pytest.raises(InputError, match="--load-versions selects the catalog model"):
        demo_copy.run("predict", predict=given, load_versions={"model": version})
    with pytest.raises(Exception, match=r"The model does not exist \(.*x\.pth\)"):
        demo_copy.run("predict", predict=given)


def test_older_model_is_selected_by_its_version(demo_copy, new_images):
    (version,) = demo_copy.versions("model")
    newer = demo_copy.data_root / "06_models/model.pth/2020-01-01T00.00.00.000Z"
    shutil.copytree(newer.parent / version, newer)
    shutil.copytree(
        demo_copy.data_root / "06_models/training_history.csv" / version,
        demo_copy.data_root / "06_models/training_history.csv" / newer.name,
    )
    demo_copy.run(
        "predict", predict={"input": str(new_images)}, load_versions={"model": newer.name}
    )
    assert set(demo_copy.load("new_predictions")["model_version"]) == {newer.name}


def test_missing_input_stops_before_the_model_is_loaded(study, tmp_path):
    with pytest.raises(InputError, match="predict.input is not set"):
        study().run("predict")
    with pytest.raises(InputError, match="This run reads model, but .* contains no version"):
        study().run("predict", predict={"input": str(tmp_path)})


def start(study, folder):
    params = f"data_root={study.data_root},predict.input={folder},predict.device=cpu"
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--pipelines", "predict", "--params", params],
        cwd=study.project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def bytes_in_progress(study):
    return sum(path.stat().st_size for path in (study.data_root / IN_PROGRESS).glob("*.csv"))


def test_kills_at_random_moments_leave_no_duplicate_or_missing_row(demo_copy, tmp_path):
    folder = write_files(tmp_path / "new", jpeg_files([f"{i // 100}/{i}.jpg" for i in range(2000)]))
    demo_copy.run("predict", predict={"input": str(folder), "device": "cpu"})
    (path,) = (demo_copy.data_root / "07_model_output/new_predictions.csv").glob("*/*.csv")
    expected = path.read_bytes()
    assert expected.count(b"\n") == 2001
    shutil.rmtree(path.parents[1])
    rng = random.Random(0)
    kills = 0
    for part in (0.0, 0.2, 0.6):  # of all bytes; at least so many are written before the kill
        process = start(demo_copy, folder)
        while bytes_in_progress(demo_copy) <= part * len(expected) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    assert not list((demo_copy.data_root / "07_model_output").glob("new_predictions.csv/*/new*"))
    assert start(demo_copy, folder).wait() == 0
    (path,) = (demo_copy.data_root / "07_model_output/new_predictions.csv").glob("*/*.csv")
    assert path.read_bytes() == expected
    assert list((demo_copy.data_root / IN_PROGRESS).iterdir()) == []
