"""The script of a bundle works without torch, Kedro and this package."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.rows import column_names
from skin_lesions.deployment.torch_predictor import TorchPredictor
from support.factories import corners, encoded

# Only what predict.py may import; Python imports this module at its start.
BLOCKER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "skin_lesions", "kedro", "scipy"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
"""


def run_script(folder: Path, tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess:
    (tmp_path / "block").mkdir(exist_ok=True)
    (tmp_path / "block" / "sitecustomize.py").write_text(BLOCKER)
    environment = {"PYTHONPATH": str(tmp_path / "block"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, folder / "predict.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,
        env={**os.environ, **environment},
    )


def rows_of(done: subprocess.CompletedProcess) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


def test_rows_are_those_of_the_package(bundle_model, tmp_path):
    folder, model = bundle_model
    files = {
        "a.png": encoded(corners(90, 70), "PNG"),
        "b.jpg": encoded(corners(64, 128), "JPEG", quality=95),
        "=c.png": encoded(corners(200, 200).convert("L"), "PNG"),
        "broken.jpg": b"\xff\xd8\xff nothing",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    rows = rows_of(run_script(folder, tmp_path, *files))
    predictor = TorchPredictor(model, "cpu")
    postprocessor = Postprocessor(predictor.description)
    assert list(rows[0]) == column_names(predictor.description)
    assert [row["file"] for row in rows] == ["a.png", "b.jpg", "'=c.png", "broken.jpg"]
    for row, data in zip(rows[:3], files.values(), strict=False):
        outputs = predictor.outputs(predictor.read(data)[None])
        [expected] = postprocessor.predictions(outputs)
        assert row["predicted"] == expected.predicted
        assert float(row["p_nv"]) == pytest.approx(expected.probabilities[0], abs=0.01)
        assert float(row["unknown_score"]) == pytest.approx(expected.unknown_score, rel=0.05)
        assert row["prediction_set"].split("|") == list(expected.prediction_set)
        assert row["refer"] == str(expected.refer)
        assert row["refer_reason"] == "|".join(expected.referral_reasons)
    assert rows[3]["refer_reason"] == "unreadable"
    assert rows[3]["error"]
    assert rows[3]["p_nv"] == ""


def test_changed_file_stops_the_script(bundle_copy, tmp_path):
    with (bundle_copy / "model.onnx").open("ab") as file:
        file.write(b"x")
    done = run_script(bundle_copy, tmp_path, "a.png")
    assert done.returncode == 1
    assert "model.onnx is missing or has changed" in done.stderr
