"""Records of benchmark results, with the machine, the versions and the commit."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def save_results(name: str, results: dict[str, Any]) -> None:
    """Print the results and write them to ``results/<name>.json``."""
    record = {"results": results, "machine": _machine(), "versions": _versions(), **_when()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{name} ({record['machine']['processor']}, {record['machine']['cores']} cores)")
    for key, value in results.items():
        print(f"  {key}: {value:.4g}" if isinstance(value, float) else f"  {key}: {value}")


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "avx512": "avx512f" in flags,
        "amx": "amx_tile" in flags,
        "system": platform.system(),
    }


def _versions() -> dict[str, str]:
    names = ("skin-lesions", "torch", "torchvision", "kedro", "numpy", "pandas")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def commit() -> str:
    """Return the short hash of the commit, with ``-dirty`` if tracked files differ from it.

    Changes in ``benchmarks/results`` are ignored, because the benchmarks write there.
    """
    return _git("rev-parse", "--short=12", "HEAD") + ("-dirty" if _changed() else "")


def _changed() -> bool:
    return bool(_git("status", "--porcelain", "-uno", "--", ".", ":!benchmarks/results"))


def _git(*args: str) -> str:
    completed = subprocess.run(
        ["git", *args], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return completed.stdout.strip()


def _when() -> dict[str, str]:
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
