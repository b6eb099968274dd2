"""``kedro run`` on the demo, as whole processes: seconds, memory, and what is not training.

Of other images, from other weights: ``--folder /data/mine --architecture resnet50 --weights imagenet``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from options import add_study_options, study_params
from record import ROOT, keep


def run(*args: str) -> tuple[float, float]:
    """Run kedro; return seconds and peak memory (GB) of that process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", *args], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"kedro {' '.join(args)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main(params: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        params = f"data_root={root}{params}"
        whole, memory = run("run", "--params", params)
        history = next(Path(root).rglob("training_history.csv/*/training_history.csv"))
        training = float(pd.read_csv(history)["seconds"].sum())
        evaluate, _ = run("run", "--pipelines", "evaluate", "--params", params)
    listing, _ = run("registry", "list")
    keep(
        name,
        {
            "kedro_run_seconds": whole,
            "training_seconds": training,
            "all_but_training_seconds": whole - training,
            "peak_memory_gb": memory,
            "evaluate_seconds": evaluate,
            "registry_list_seconds": listing,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="demo")
    add_study_options(parser)
    given = parser.parse_args()
    main(study_params(given), given.name)
