"""Effect of data leakage: the same recipe, evaluated with the original and with the grouped split.

Every seed determines the initial weights and, where the policy creates a split, the split. With the
original split, leaked and clean test images are also evaluated separately. Without options, the
synthetic images of the demo are used. To use other images and weights:

    python benchmarks/leak.py --folder /data/mine --architecture resnet50 --weights imagenet

``--policies`` without a policy trains nothing and records only what the audit finds in the images.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from options import add_study_options, study_params, without_folders
from record import ROOT, save_results

# Keys of metrics.json. The last two exist only with the original split.
SUBSETS = ("test", "test_clean", "test_leaked")


def kedro(*args: str) -> None:
    subprocess.run([sys.executable, "-m", "kedro", "run", *args], cwd=ROOT, check=True)


def evaluate(root: Path, policy: str, seed: int, params: str) -> dict[str, Any]:
    kedro(
        "--pipelines",
        "preprocess,train,evaluate",
        "--params",
        f"data_root={root},split.policy={policy},split.seed={seed},train.seed={seed}{params}",
    )
    metrics = json.loads(_newest(root, "08_reporting/metrics.json").read_text(encoding="utf-8"))
    return {subset: metrics[subset] for subset in SUBSETS if subset in metrics}


def summarize(scores: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [score["n"] for score in scores],
        "balanced_accuracy": summarize_metric(scores, "balanced_accuracy"),
        "accuracy": summarize_metric(scores, "accuracy"),
    }


def summarize_metric(scores: list[dict[str, Any]], name: str) -> dict[str, Any]:
    values = [score[name]["value"] for score in scores]
    intervals = [f"{score[name]['low']:.3f} to {score[name]['high']:.3f}" for score in scores]
    return {"mean": round(statistics.mean(values), 4), "each": values, "intervals": intervals}


def describe_images(root: Path) -> dict[str, Any]:
    """Return counts of the audit: files, groups, links between files, leaked test files."""
    findings = json.loads(_newest(root, "08_reporting/audit_findings.json").read_text("utf-8"))
    links = pd.read_parquet(_newest(root, "03_primary/image_links.parquet"))
    details = {finding["id"]: finding["details"] for finding in findings["findings"]}
    return {
        **findings["summary"],
        "links_by_kind": links["kind"].value_counts().to_dict(),
        "exact_duplicates_across_splits": details.get("exact_duplicates_across_splits"),
        "groups_across_splits": details.get("groups_across_splits"),
    }


def _newest(root: Path, path: str) -> Path:
    return sorted(root.glob(f"{path}/*/{Path(path).name}"))[-1]


def main(policies: list[str], seeds: int, params: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kedro("--pipelines", "ingest,audit", "--params", f"data_root={root}{params}")
        results: dict[str, Any] = {"data": describe_images(root)}
        for policy in policies:
            scores = [evaluate(root, policy, seed, params) for seed in range(1, seeds + 1)]
            results[policy] = {
                subset: summarize([score[subset] for score in scores]) for subset in scores[0]
            }
    save_results(
        name, {"seeds": seeds, "params": without_folders(params).removeprefix(",")} | results
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", nargs="*", default=["grouped", "original"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="leak_demo")
    add_study_options(parser)
    args = parser.parse_args()
    main(args.policies, args.seeds, study_params(args), args.name)
