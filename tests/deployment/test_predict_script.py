"""The script of a bundle works without torch, Kedro and this package."""

import csv
import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image, ImageCms

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.pillow_images import read_with_pillow
from skin_lesions.deployment.rows import column_names
from skin_lesions.deployment.torch_predictor import TorchPredictor
from support.bundles import bundle_of, exportable_model
from support.color_profiles import DISPLAY_P3
from support.factories import corners, encoded
from support.scripts import import_script, rows_of, run_script


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


@pytest.mark.parametrize("resize_mode", ["stretch", "center_crop"])
def test_images_are_decoded_as_by_the_package(bundle_model, resize_mode):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    gray16 = Image.fromarray(np.linspace(0, 65535, 80 * 80).reshape(80, 80).astype(np.uint16))
    alpha = corners(80, 60).convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize((80, 60)))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    files = {
        "orientation": encoded(corners(80, 60), "JPEG", exif=exif, quality=95),
        "16 bits": encoded(gray16, "PNG"),
        "transparent": encoded(alpha, "PNG"),
        "palette": encoded(corners(80, 60).quantize(16), "GIF"),
        "wide": encoded(corners(200, 60), "WEBP", lossless=True),
        "colors of Display P3": encoded(corners(80, 60), "PNG", icc_profile=DISPLAY_P3),
        "profile for other colors": encoded(corners(80, 60), "PNG", icc_profile=lab),
        "damaged profile": encoded(corners(80, 60), "PNG", icc_profile=b"x" * 200),
    }
    preprocessing = Preprocessing(resize_mode, 96, 64)
    script = import_script(bundle_model[0])
    for name, data in files.items():
        found = script.read_pixels(data, asdict(preprocessing)).astype(int)
        expected = read_with_pillow(data, preprocessing)
        # Colors are rounded, and the edges of transparent and palette images are resized in RGB.
        assert np.abs(found - expected).max() <= 2, name
        assert np.ptp(found) > 100, name


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_script_without_images_prints_its_usage(arguments, bundle_model, tmp_path):
    done = run_script(bundle_model[0], tmp_path, *arguments)
    assert done.returncode == 1
    assert "python predict.py IMAGE..." in done.stderr


def test_decision_and_missing_referral_threshold_are_applied(tmp_path):
    fitted = exportable_model(test_time_augmentation="none").postprocessing
    none = replace(fitted.referral, min_confidence=None, reason="too few images")
    frequencies = replace(fitted.frequencies, decision="frequency", train_counts=(900, 1))
    fitted = replace(fitted, referral=none, frequencies=frequencies)
    model = exportable_model(test_time_augmentation="none", postprocessing=fitted)
    write_bundle(bundle_of(model), tmp_path / "bundle")
    (tmp_path / "a.png").write_bytes(encoded(corners(90, 70), "PNG"))
    [row] = rows_of(run_script(tmp_path / "bundle", tmp_path, "a.png"))
    predictor = TorchPredictor(model, "cpu")
    outputs = predictor.outputs(predictor.read((tmp_path / "a.png").read_bytes())[None])
    [expected] = Postprocessor(predictor.description).predictions(outputs)
    assert row["predicted"] == expected.predicted
    assert "uncertain" in row["refer_reason"]
    assert list(row) == column_names(predictor.description)


def test_imports_of_the_package_are_blocked_in_these_tests(tmp_path):
    script = tmp_path / "predict.py"
    script.write_text("import torch")
    assert "torch is blocked" in run_script(tmp_path, tmp_path).stderr


@pytest.mark.slow
def test_script_runs_in_an_environment_with_three_packages(bundle_model, tmp_path):
    folder, _ = bundle_model
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    packages = ["onnxruntime", "numpy", "pillow"]
    command = [python, "-m", "pip", "install", "--quiet", "--retries", "1", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no package index is reachable: {done.stderr.strip().splitlines()[-1]}")
    (tmp_path / "a.png").write_bytes(encoded(corners(90, 70), "PNG"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(
        [python, folder / "predict.py", "a.png"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    expected = rows_of(run_script(folder, tmp_path, "a.png"))
    [row] = csv.DictReader(found.stdout.splitlines())
    assert row["file"] == "a.png"
    assert float(row["p_nv"]) == pytest.approx(float(expected[0]["p_nv"]), abs=1e-4)
