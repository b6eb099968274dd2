"""Import of the scripts in ``benchmarks``, which are not a package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def import_benchmark(name: str) -> ModuleType:
    """Import a script; it can import its neighbors."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return importlib.import_module(name)
