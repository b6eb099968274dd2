import logging
import os
import random

import pytest

from skin_lesions.deployment import row_file
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.row_file import RowCounts, write_rows
from support.factories import jpeg_files, write_files
from support.predictors import MeanColorPredictor

# A name may contain a line break, a quote and characters of several bytes.
NAMES = ["00.jpg", "=1.jpg", 'a"\n,\r\n.jpg', "b\n.jpg", *(f"é{i:02d}.jpg" for i in range(40))]


@pytest.fixture
def run(tmp_path):
    files = {**jpeg_files(NAMES), "=1.jpg": b"", "é30.jpg": b"x\n"}
    folder = write_files(tmp_path / "images", files)
    return PredictionRun(MeanColorPredictor(), find_images([str(folder)], **OPTIONS), 8)


OPTIONS = {"follow_symlinks": False, "option": ""}


def complete_file(run, path):
    counts = write_rows(run, path)
    run.predictor.batches.clear()
    return path.read_bytes(), counts


def test_file_is_complete_whatever_byte_an_interrupted_run_ended_at(run, tmp_path):
    expected, counts = complete_file(run, tmp_path / "expected.csv")
    path = tmp_path / "rows.csv"
    lengths = {*range(0, len(expected), 101), *range(len(expected) - 40, len(expected) + 1)}
    for length in sorted(lengths):
        path.write_bytes(expected[:length])
        assert write_rows(run, path) == counts
        assert path.read_bytes() == expected, length


def test_complete_batches_are_not_computed_again(run, tmp_path):
    expected, _ = complete_file(run, tmp_path / "rows.csv")
    path = tmp_path / "rows.csv"
    lines = expected.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-5]))  # 4 rows of the last batch, and an earlier one
    write_rows(run, path)
    assert sum(run.predictor.batches) in {8 + 4, 7 + 4}  # one file of the batches is unreadable


def test_damaged_rows_are_computed_again(run, tmp_path):
    path = tmp_path / "rows.csv"
    expected, _ = complete_file(run, path)
    rng = random.Random(0)
    for _ in range(20):
        start = rng.randrange(len(expected) * 3 // 4, len(expected))
        # A file system may fill the end of a file with zeros after a power failure.
        path.write_bytes(expected[:start] + bytes(len(expected) - start))
        write_rows(run, path)
        assert path.read_bytes() == expected


def test_everything_after_the_complete_batches_is_removed(run, tmp_path):
    path = tmp_path / "rows.csv"
    expected, counts = complete_file(run, path)
    path.write_bytes(expected + expected)
    assert write_rows(run, path) == counts
    assert path.read_bytes() == expected


def test_rows_of_other_files_are_computed_again(run, tmp_path):
    path = tmp_path / "rows.csv"
    expected, _ = complete_file(run, path)
    path.write_bytes(expected.replace("é07".encode(), "é99".encode()))
    write_rows(run, path)
    assert path.read_bytes() == expected


def test_file_of_another_model_is_not_continued(run, tmp_path):
    path = tmp_path / "rows.csv"
    expected, _ = complete_file(run, path)
    path.write_bytes(expected.replace(b"p_nv", b"p_xx"))
    write_rows(run, path)
    assert path.read_bytes() == expected


def test_each_batch_is_on_disk_before_the_next_one_is_computed(run, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    synced, on_disk = [], []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.stat().st_size) or fsync(file))
    outputs = run.predictor.outputs
    monkeypatch.setattr(
        run.predictor,
        "outputs",
        lambda images: on_disk.append(synced[-1]) or outputs(images),
    )
    write_rows(run, path)
    assert len(on_disk) == 6
    assert on_disk == sorted(set(on_disk))  # larger for each batch
    assert synced[-1] == path.stat().st_size


def test_counts_include_the_rows_of_the_interrupted_run(run, tmp_path):
    _, counts = complete_file(run, tmp_path / "rows.csv")
    assert (counts.files, counts.unreadable) == (len(NAMES), 2)
    assert 0 < counts.referred <= len(NAMES) - 2
    assert write_rows(run, tmp_path / "rows.csv") == counts


def test_resumed_prediction_is_logged(run, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "rows.csv"
    expected, _ = complete_file(run, path)
    assert caplog.messages == []
    path.write_bytes(expected[: len(expected) // 2])
    write_rows(run, path)
    assert caplog.messages == ["Prediction resumed at file 17 of 44"]


def test_progress_is_logged_with_the_remaining_time(run, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(row_file, "_SECONDS_BETWEEN_LOGS", 0.0)
    write_rows(run, tmp_path / "rows.csv")
    assert caplog.messages[0].startswith("Predicted 8 of 44 files (")
    assert caplog.messages[-1].endswith("remaining time about 0 s)")


def test_summary_has_readable_numbers():
    counts = RowCounts(files=1200, unreadable=1, referred=50)
    assert str(counts) == "Predicted 1,199 images: 50 referred, 1 file unreadable"
