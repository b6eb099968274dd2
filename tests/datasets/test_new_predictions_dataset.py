import logging

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from skin_lesions.datasets import AtomicVersionedDataset, NewPredictionsDataset
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from support.factories import jpeg_files, write_files
from support.predictors import MeanColorPredictor

NAMES = [f"{i}.jpg" for i in range(9)]


@pytest.fixture
def run(tmp_path):
    files = {**jpeg_files(NAMES), "=NA.jpg": b"", "NA": b""}
    folder = write_files(tmp_path / "images", files)
    found = find_images([str(folder)], follow_symlinks=False, option="")
    return PredictionRun(MeanColorPredictor(), found, 4)


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "new_predictions.csv"
    return NewPredictionsDataset(filepath=str(path), in_progress=str(tmp_path / "in_progress"))


def test_table_is_loaded_with_types(run, dataset):
    dataset.save(run)
    table = dataset.load()
    assert table["file"].tolist() == [*NAMES, "=NA.jpg", "NA"]
    assert table["refer"].dtype == bool
    numbers = ["p_nv", "p_mel", "p_balanced_nv", "p_balanced_mel", "unknown_score"]
    assert set(table[numbers].dtypes) == {np.dtype(float)}
    readable = table["error"] == ""
    assert table.loc[readable, numbers].notna().all(axis=None)
    assert table.loc[~readable, numbers].isna().all(axis=None)
    assert table.loc[~readable, "refer_reason"].tolist() == ["unreadable"] * 2
    raw = pd.read_csv(dataset._path, encoding="utf-8-sig", keep_default_na=False)
    assert "'=NA.jpg" in raw["file"].tolist()


def test_interrupted_run_continues_and_leaves_nothing_in_progress(run, dataset, monkeypatch):
    dataset.save(run)
    expected = dataset._path.read_bytes()
    dataset._path.unlink()
    run.predictor.batches.clear()
    outputs = run.predictor.outputs

    def fail_at_the_third_batch(images):
        if len(run.predictor.batches) == 2:
            raise KeyboardInterrupt
        return outputs(images)

    monkeypatch.setattr(run.predictor, "outputs", fail_at_the_third_batch)
    with pytest.raises(KeyboardInterrupt):
        dataset.save(run)
    assert not dataset._path.exists()
    (unfinished,) = dataset._in_progress.iterdir()
    assert len(unfinished.read_text().splitlines()) == 1 + 8
    monkeypatch.setattr(run.predictor, "outputs", outputs)
    dataset.save(run)
    assert run.predictor.batches == [4, 4, 1]  # the first two batches are not computed again
    assert dataset._path.read_bytes() == expected
    assert list(dataset._in_progress.iterdir()) == []


def test_unfinished_predictions_of_other_settings_are_kept_and_logged(run, dataset, caplog):
    caplog.set_level(logging.INFO)
    dataset._in_progress.mkdir()
    other = dataset._in_progress / "0123456789abcdef.csv"
    other.write_text("x")
    dataset.save(run)
    assert other.read_text() == "x"
    assert "1 unfinished prediction of other files" in caplog.messages[0]
    assert caplog.messages[-1].startswith("Predicted 9 images: ")


def test_versioned_file_is_complete_or_does_not_exist(run, tmp_path, monkeypatch):
    config = {
        "type": "skin_lesions.datasets.NewPredictionsDataset",
        "in_progress": str(tmp_path / "in_progress"),
    }
    path = tmp_path / "data" / "new_predictions.csv"
    versioned = AtomicVersionedDataset(
        filepath=str(path), dataset=config, columns=["file", "refer"], version=None
    )
    monkeypatch.setattr(run.predictor, "outputs", lambda images: 1 / 0)
    with pytest.raises(DatasetError, match="division by zero"):
        versioned.save(run)
    assert list(path.parent.iterdir()) == []
    monkeypatch.undo()
    versioned.save(run)
    assert len(versioned.load()) == 11


def test_preview_shows_the_first_rows(run, dataset):
    dataset.save(run)
    preview = dataset.preview(nrows=3)
    assert [row[0] for row in preview["data"]] == NAMES[:3]
