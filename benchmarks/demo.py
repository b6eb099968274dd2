"""Benchmark of complete ``kedro run`` processes: seconds, peak memory and time without training.

It uses the synthetic images of the demo. To use other images and weights:

    python benchmarks/demo.py --folder /data/mine --architecture resnet50 --weights imagenet
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
from record import ROOT, save_results


def run(*args: str) -> tuple[float, float]:
    """Run kedro. Return the seconds and the peak memory (GB) of the process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", *args], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"Command failed (kedro {' '.join(args)}). See its output above.")
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main(params: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        params = f"data_root={root}{params}"
        total, memory = run("run", "--params", params)
        history = next(Path(root).rglob("training_history.csv/*/training_history.csv"))
        training = float(pd.read_csv(history)["seconds"].sum())
        evaluate, _ = run("run", "--pipelines", "evaluate", "--params", params)
    listing, _ = run("registry", "list")
    save_results(
        name,
        {
            "kedro_run_seconds": total,
            "training_seconds": training,
            "all_but_training_seconds": total - training,
            "peak_memory_gb": memory,
            "evaluate_seconds": evaluate,
            "registry_list_seconds": listing,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="demo")
    add_study_options(parser)
    args = parser.parse_args()
    main(study_params(args), args.name)
