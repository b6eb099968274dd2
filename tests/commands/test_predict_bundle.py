"""The command `predict` in a new process: a model file, and the bundle of the same model."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from skin_lesions.cli import cli
from skin_lesions.models.model_file import write_model
from support.bundles import write_small_bundle
from support.factories import jpeg_files, write_files

pytest.importorskip("onnxruntime", reason="the extra export is not installed")


@pytest.fixture
def folder(tmp_path):
    files = {**jpeg_files(["1.jpg", "2.jpg", "a/3.jpg"]), "bad.jpg": b"no image"}
    return write_files(tmp_path / "images", files)


RUN = """
import sys
from skin_lesions.cli import cli
cli(["predict", "images", "--model", sys.argv[1], "--format", "json"], standalone_mode=False)
print(*sorted({"torch", "torchvision", "kedro", "onnxruntime"} & set(sys.modules)), file=sys.stderr)
"""


def predict_in_new_process(model, folder):
    """Run the command in a folder without a project; return its rows and the imported packages."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, model], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    messages, packages = done.stderr.splitlines()[:-1], done.stderr.splitlines()[-1]
    assert "1 of 4 files unreadable" in messages
    return json.loads(done.stdout), packages.split()


def test_bundle_gives_the_rows_of_its_model_file_without_torch_and_kedro(folder, tmp_path):
    model = write_small_bundle(tmp_path / "bundle")
    catalog_file = tmp_path / "model.pth" / model.version / "model.pth"
    catalog_file.parent.mkdir(parents=True)
    write_model(model, catalog_file)
    expected, packages = predict_in_new_process(catalog_file, folder.parent)
    assert packages == ["torch", "torchvision"]
    found, packages = predict_in_new_process("bundle", folder.parent)
    assert packages == ["onnxruntime"]
    numbers = ("probabilities", "balanced_probabilities", "unknown_score")
    for ours, theirs in zip(found, expected, strict=True):
        for name in numbers:
            assert ours.pop(name) == pytest.approx(theirs.pop(name), abs=0.01)
    assert found == expected


def test_tampered_bundle_is_reported(folder, tmp_path):
    write_small_bundle(tmp_path / "bundle")
    path = tmp_path / "bundle" / "config.json"
    path.write_bytes(path.read_bytes() + b" ")
    result = CliRunner().invoke(cli, ["predict", str(folder), "--model", str(tmp_path / "bundle")])
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert "config.json" in result.stderr
