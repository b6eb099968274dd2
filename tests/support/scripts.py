"""Runs of the script of a model bundle in a process that cannot import torch."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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


def lesion_corners(cells: dict[str, str]) -> list[float]:
    """Return the corners of the main lesion in a row, pixels."""
    return [float(cells[f"lesion_{name}"]) for name in ("x0", "y0", "x1", "y1")]


def import_script(folder: Path, name: str = "predict.py") -> ModuleType:
    """Import a script of a bundle, to test its functions."""
    spec = importlib.util.spec_from_file_location("bundle_script", folder / name)
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script
