"""Trainings of a study, each saved as a line of a file, so that a benchmark can be resumed."""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from options import reported_weights, study_params, without_folders
from record import RESULTS, ROOT, commit
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.metrics.bootstrap import percentile_estimate, resampled_weights
from skin_lesions.settings import CONFIG_LOADER_ARGS

Training = dict[str, Any]
REPLICATES = 2000


@dataclass(frozen=True)
class Study:
    """Images, their split and the trainings on them.

    Attributes:
        env: Environment of the default recipe.
        params: Parameters in the format of ``--params``, each after a comma.
        root: Data root.
        records: File with one line per training (JSON lines).
    """

    env: str
    params: str
    root: Path
    records: Path

    @property
    def reported_params(self) -> str:
        """Return the parameters for a record, without the paths of this machine."""
        return without_folders(self.params)

    def prepare(self) -> None:
        """Ingest and split the images, unless this is done already."""
        if not list(self.root.glob("03_primary/split_table.parquet/*/*.parquet")):
            self.run(self.env, "ingest,audit,preprocess", "")

    def training(self, name: str, seed: int, params: str = "", env: str | None = None) -> Training:
        """Train, predict and save the training, or return the saved training of an earlier run."""
        env = env or self.env
        request = {"name": name, "seed": seed, "params": f"{self.reported_params}{params}"}
        request |= {"recipe": self._recipe(env, f"{params},train.seed={seed}")}
        request |= {"images": self._images()}
        records = self.records.read_text(encoding="utf-8") if self.records.exists() else ""
        for line in records.splitlines():
            training: Training = json.loads(line)
            if request.items() <= {key: training.get(key) for key in request}.items():
                return training
        self.run(env, "train,evaluate", f"{params},train.seed={seed}")
        training = request | self._newest() | {"commit": commit()}
        self.records.parent.mkdir(parents=True, exist_ok=True)
        with self.records.open("a", encoding="utf-8") as file:
            file.write(json.dumps(training) + "\n")
        return training

    def _recipe(self, env: str, params: str) -> dict[str, Any]:
        """Return the recipe of these parameters. It also depends on the defaults in conf/.

        The name of the file of weights replaces its path.
        """
        runtime_params = OmegaConf.to_container(
            OmegaConf.from_dotlist(f"{self.params}{params}".split(",")[1:])
        )
        conf = OmegaConfigLoader(
            str(ROOT / "conf"), env=env, runtime_params=runtime_params, **CONFIG_LOADER_ARGS
        )
        recipe = TrainRecipe.model_validate(conf["parameters"]["train"]).model_dump()
        return recipe | {"weights": reported_weights(recipe["weights"])}

    def _images(self) -> str:
        """Return a fingerprint of the images and their split."""
        return split_fingerprint(pd.read_parquet(self._file("03_primary", "split_table.parquet")))

    def run(self, env: str, pipelines: str, params: str = "") -> None:
        """Run pipelines of this study with further parameters, each after a comma."""
        params = f"data_root={self.root}{self.params}{params}"
        command = [sys.executable, "-m", "kedro", "run", "--env", env, "--pipelines", pipelines]
        subprocess.run([*command, "--params", params], cwd=ROOT, check=True)

    def _newest(self) -> Training:
        """Read the training history and the predictions of the last run."""
        history = pd.read_csv(self._file("06_models", "training_history.csv"))
        predictions = pd.read_parquet(self._file("07_model_output", "predictions.parquet"))
        splits = {
            split: rows.sort_values("file")[["label", "predicted", "group_id"]].to_dict("list")
            for split, rows in predictions.groupby("split")
        }
        columns = ["seconds", "image_size", "val_balanced_accuracy"]
        return {**history[columns].to_dict("list"), **splits}

    def _file(self, layer: str, name: str) -> Path:
        return sorted((self.root / layer / name).glob(f"*/{name}"))[-1]


def study_of(args: argparse.Namespace, name: str) -> Study:
    """Return the study of these options. A folder is evaluated with its original split."""
    policy = "original" if args.folder else "grouped"
    params = f",split.policy={policy}{study_params(args)}"
    if not args.folder:
        params += ",source.kind=demo,train.weights=none"
    digest = hashlib.sha256(params.encode()).hexdigest()[:8]
    return Study(
        env="folder" if args.folder else "demo",
        params=params,
        root=ROOT / "data" / "benchmarks" / digest,
        records=RESULTS / f"{name}.jsonl",
    )


def balanced_accuracy(training: Training, split: str) -> float:
    return float(_balanced(_hits([training], split), training[split]["label"])[0])


def paired_difference(
    ours: Sequence[Training], theirs: Sequence[Training], split: str
) -> dict[str, Any]:
    """Compare the balanced accuracies of two recipes that were trained with the same seeds.

    Returns:
        ``difference``, the mean over the seeds, and ``low`` and ``high``, its 95 % bootstrap
        interval. Each replicate uses the same resampled images for all trainings, and resamples
        complete groups.
    """
    table = ours[0][split]
    hits = [_hits(trainings, split) for trainings in (ours, theirs)]

    def difference(weights: np.ndarray | None = None) -> np.ndarray:
        # Balanced accuracies: (trainings,) or (trainings, replicates).
        ours_, theirs_ = (_balanced(hit, table["label"], weights) for hit in hits)
        return np.mean(ours_ - theirs_, axis=0)

    weight_blocks = resampled_weights(table["label"], table["group_id"], REPLICATES, seed=0)
    replicates = np.concatenate([difference(weights) for weights in weight_blocks])
    estimate = percentile_estimate(float(difference()), replicates, len(table["label"]))
    return {"difference": estimate.value, "low": estimate.low, "high": estimate.high}


def _hits(trainings: Sequence[Training], split: str) -> np.ndarray:
    """Return which images each training predicted correctly, (trainings, n)."""
    tables = [training[split] for training in trainings]
    if any(table["label"] != tables[0]["label"] for table in tables):
        raise SystemExit(
            "These trainings were evaluated on different images. Fix: delete the .jsonl file."
        )
    return np.array([np.equal(table["label"], table["predicted"]) for table in tables])


def _balanced(
    hits: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the balanced accuracy of each training, (trainings,) or (trainings, replicates)."""
    weights = np.ones(len(labels)) if weights is None else weights
    class_masks = [np.asarray(labels) == label for label in sorted(set(labels))]
    # hits: (trainings, n); weights: (n,) or (n, replicates).
    recalls = [hits[:, mask] @ weights[mask] / weights[mask].sum(axis=0) for mask in class_masks]
    return np.asarray(np.mean(recalls, axis=0))
