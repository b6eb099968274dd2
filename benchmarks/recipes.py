"""Recipe of the notebook against the default recipe on real images: all evaluators and `compare`.

    python benchmarks/recipes.py --folder ../shared/data/isic8_grouped \
        --params source.metadata=../shared/data/isic8_grouped/metadata.csv \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

Both recipes train the same network on the same split, the original one of the folder. The summary
is saved in results/recipes.json. The complete results and the report remain in the data root.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from options import add_study_options
from record import save_results
from trainings import study_of

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "log_loss")
COMPARISON = ("metrics", "mcnemar", "per_class", "verdict")


def newest(root: Path, name: str) -> Path:
    return sorted(root.glob(f"*/{name}/*/{name}"))[-1]


def read(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(newest(root, f"{name}.json").read_text(encoding="utf-8"))
    return content


def estimate(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("value", "low", "high", "n")}


def summary_of_recipe(root: Path) -> dict[str, Any]:
    """Return the results of the newest model."""
    test = read(root, "metrics")["test"]
    unknown = read(root, "unknown")
    history = pd.read_csv(newest(root, "training_history.csv"))
    return {
        "test": {name: estimate(test[name]) for name in METRICS},
        "minutes": float(history["seconds"].sum() / 60),
        "best_epoch": int(history.loc[history["best"], "epoch"].iloc[0]),
        "unknown": unknown,
        "slices": [
            {
                "column": column["column"],
                "slices": {
                    entry["value"]: estimate(entry["balanced_accuracy"]) | {"n": entry["n"]}
                    for entry in column["slices"]
                },
                "gaps": column["gaps"],
            }
            for column in read(root, "slices")["columns"]
        ],
        "robustness": {
            corruption["name"]: {
                score["strength"]: estimate(score["balanced_accuracy_lost"])
                for score in corruption["scores"]
            }
            for corruption in read(root, "robustness")["corruptions"]
        },
        "label_issues": len(pd.read_csv(newest(root, "label_issues.csv"))),
    }


def main(args: argparse.Namespace) -> None:
    study = study_of(args, "recipes")
    robust = ",evaluate.robustness.enabled=true"
    recipes = {}
    study.prepare()
    for name, env in (("notebook", "notebook"), ("default", "folder")):
        study.run(env, "train,evaluate", robust)
        recipes[name] = summary_of_recipe(study.root)
    study.run("folder", "report,compare", robust)
    comparison = read(study.root, "comparison")
    save_results(
        "recipes",
        {
            "params": study.reported_params,
            "recipes": recipes,
            "comparison": {key: comparison[key] for key in COMPARISON},
            "findings": [
                {key: finding[key] for key in ("id", "severity", "message")}
                for finding in read(study.root, "audit_findings")["findings"]
            ],
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_study_options(parser)
    main(parser.parse_args())
