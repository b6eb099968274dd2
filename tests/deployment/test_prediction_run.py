import hashlib
import os

import pytest

from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.images import ImageFiles, find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from support.factories import jpeg_files, write_files
from support.predictors import MeanColorPredictor, description

FILES = jpeg_files([f"{i:02d}.jpg" for i in range(20)])
BAD = {"03.jpg": b"", "11.jpg": b"no image", "12.jpg": b"no image"}


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path / "images", {**FILES, **BAD})


def run_of(folder, batch_size=4, **changes):
    files = find_images([str(folder)], follow_symlinks=False, option="")
    return PredictionRun(MeanColorPredictor(description(**changes)), files, batch_size)


def rows_of(run, start=0):
    return [row for batch in run.batches(start) for row in batch]


def test_each_file_has_one_row_in_the_order_of_the_names(folder):
    rows = rows_of(run_of(folder))
    assert [row.file for row in rows] == sorted(FILES)
    for row in rows:
        data = BAD.get(row.file, FILES[row.file])
        assert row.image_id == hashlib.sha256(data).hexdigest()
        assert (row.prediction is None) == (row.file in BAD) == (row.error is not None)
        assert row.model_version == "V1"


def test_each_prediction_is_that_of_its_own_image(folder):
    predictor = MeanColorPredictor()
    postprocessor = Postprocessor(predictor.description)
    for row in rows_of(run_of(folder)):
        if row.prediction is not None:
            image = predictor.read(FILES[row.file])
            assert [row.prediction] == postprocessor.predictions(predictor.outputs(image[None]))


def test_network_gets_batches_without_the_unreadable_files(folder):
    run = run_of(folder)
    assert [len(batch) for batch in run.batches()] == [4] * 5
    assert run.predictor.batches == [3, 4, 3, 3, 4]


def test_batch_of_unreadable_files_does_not_run_the_network(tmp_path):
    run = run_of(write_files(tmp_path, {"1.jpg": b"", "2.jpg": b""}))
    assert [row.error for row in rows_of(run)] == ["the file is empty"] * 2
    assert run.predictor.batches == []


def test_files_that_cannot_be_opened_have_the_reason_and_no_id(folder):
    run = run_of(folder)
    (folder / "00.jpg").unlink()  # after it was listed
    row = rows_of(run)[0]
    assert (row.file, row.image_id) == ("00.jpg", None)
    assert row.error == "could not be opened: No such file or directory"


def test_files_at_the_start_can_be_left_out(folder):
    assert rows_of(run_of(folder), start=8) == rows_of(run_of(folder))[8:]


def test_only_some_files_are_read_ahead(tmp_path, monkeypatch):
    """Memory does not grow with the number of files."""
    run = run_of(write_files(tmp_path, jpeg_files([f"{i:03d}.jpg" for i in range(200)])))
    read = []
    original = ImageFiles.read
    monkeypatch.setattr(
        ImageFiles, "read", lambda files, name: read.append(name) or original(files, name)
    )
    batches = run.batches()
    next(batches)
    assert len(read) <= 4 * 4
    batches.close()


def test_fingerprint_changes_with_the_model_the_settings_and_the_files(folder):
    first = run_of(folder).fingerprint()
    assert run_of(folder).fingerprint() == first
    assert run_of(folder, batch_size=5).fingerprint() != first
    assert run_of(folder, version="V2").fingerprint() != first
    os.utime(folder / "05.jpg", ns=(1, 1))
    touched = run_of(folder).fingerprint()
    assert touched != first
    (folder / "05.jpg").rename(folder / "05b.jpg")
    assert run_of(folder).fingerprint() not in {first, touched}


def test_broken_links_have_a_fingerprint_and_a_row(folder):
    (folder / "99.jpg").symlink_to(folder / "missing")
    run = run_of(folder)
    assert run.fingerprint()
    assert rows_of(run)[-1].error.startswith("could not be opened: broken link")
