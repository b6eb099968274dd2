"""What a leak is worth: the same recipe, judged as shipped and with groups kept apart.

Every seed draws other weights and (where the policy cuts) another split. As shipped, leaked and clean test
images are judged apart too. Without arguments: the demo.
Of other images, from other weights: ``--folder /data/mine --architecture resnet50 --weights imagenet``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from options import add_study_options, study_params, without_folders
from record import ROOT, keep

PARTS = ("test", "test_clean", "test_leaked")  # of metrics.json; the last two as shipped only


def kedro(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "kedro", "run", *args], cwd=ROOT, check=True)


def judged(root: Path, policy: str, seed: int, params: str) -> dict[str, Any]:
    kedro(
        "--pipelines",
        "preprocess,train,evaluate",
        "--params",
        f"data_root={root},split.policy={policy},split.seed={seed},train.seed={seed}{params}",
    )
    newest = sorted(root.glob("08_reporting/metrics.json/*/metrics.json"))[-1]
    metrics = json.loads(newest.read_text())
    return {part: metrics[part] for part in PARTS if part in metrics}


def told(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [score["n"] for score in scores],
        "balanced_accuracy": told_number(scores, "balanced_accuracy"),
        "accuracy": told_number(scores, "accuracy"),
    }


def told_number(scores: list[dict[str, Any]], name: str) -> dict[str, Any]:
    values = [score[name]["value"] for score in scores]
    intervals = [f"{s[name]['low']:.3f} to {s[name]['high']:.3f}" for s in scores]
    return {"mean": round(statistics.mean(values), 4), "each": values, "intervals": intervals}


def main(policies: list[str], seeds: int, params: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kedro("--pipelines", "ingest,audit", "--params", f"data_root={root}{params}")
        results = {}
        for policy in policies:
            scores = [judged(root, policy, seed, params) for seed in range(1, seeds + 1)]
            results[policy] = {part: told([s[part] for s in scores]) for part in scores[0]}
    keep(name, {"seeds": seeds, "params": without_folders(params).removeprefix(",")} | results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", nargs="+", default=["grouped", "original"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="leak_demo")
    add_study_options(parser)
    given = parser.parse_args()
    main(given.policies, given.seeds, study_params(given), given.name)
