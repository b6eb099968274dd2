"""Import and run the scripts in ``benchmarks``, which are not a package."""

import importlib
import json
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def import_benchmark(name: str) -> ModuleType:
    """Import a script; it can import its neighbors."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)


def run_benchmark(
    script: str, *args: object, results: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Run a script as from the command line, and return the results that it records.

    Args:
        script: Name of the script.
        args: Arguments of its command line, without ``--name``.
        results: Folder of the records.
        monkeypatch: Changes the folder of the records and the arguments of the process.
    """
    monkeypatch.setattr(import_benchmark("record"), "RESULTS", results)
    path = str(BENCHMARKS / f"{script}.py")
    monkeypatch.setattr(sys, "argv", [path, *map(str, args)])
    runpy.run_path(path, run_name="__main__")
    [record] = results.glob("*.json")
    content: dict[str, Any] = json.loads(record.read_text())["results"]
    return content
