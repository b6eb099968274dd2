"""Text files and messages are UTF-8 on every system, whatever its language is."""

import io
import os
import subprocess
import sys

import pytest

from skin_lesions.commands import run
from support.factories import class_folders, write_files

CLASSES = ("Nävus", "黒色腫")
# A system without UTF-8. Python would otherwise use UTF-8 in the locale C.
ASCII_SYSTEM = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
QUICK = (
    "ingest.stored_image_size=32",
    "train.architecture=shufflenet_v2_x0_5",
    "train.weights=none",
    "train.epochs=1",
    "train.image_size=32",
    "train.eval_size_ratio=1",
    "train.device=cpu",
    "evaluate.device=cpu",
)


@pytest.mark.slow
def test_run_on_a_system_without_utf_8_writes_utf_8(project, tmp_path):
    write_files(tmp_path / "images", class_folders(*CLASSES, each=20))
    data_root = tmp_path / "data"
    params = (f"data_root={data_root}", f"source.folder={tmp_path / 'images'}", *QUICK)
    done = subprocess.run(
        [
            *(sys.executable, "-X", "warn_default_encoding", "-m", "skin_lesions", "run"),
            *("--env", "folder", "--params", ",".join(params)),
        ],
        cwd=project,
        check=False,
        capture_output=True,
        env=os.environ | ASCII_SYSTEM,
    )
    output = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, output
    warnings = [line for line in output.splitlines() if "EncodingWarning" in line]
    # fsspec opens the files of the data sets of Kedro.
    assert [line for line in warnings if "skin_lesions" in line or "fsspec" in line] == []
    for name in ("report.html", "model_card.md", "metrics.json"):
        [path] = (data_root / "08_reporting" / name).glob(f"*/{name}")
        assert all(label in path.read_text(encoding="utf-8") for label in CLASSES)


def test_messages_are_utf_8_on_a_system_without_it(monkeypatch):
    """The class names in an error or a log message would otherwise stop the run."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", "conf/logging.yml")
    run._prepare_output(
        lambda **_: [print(label, file=stream) for stream in streams.values() for label in CLASSES]
    )()
    for stream in streams.values():
        stream.flush()
        assert stream.buffer.getvalue().decode().split() == list(CLASSES)
