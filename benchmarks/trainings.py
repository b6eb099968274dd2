"""Trainings on one study, each kept as a line of a file: a benchmark that was broken off goes on."""

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
import torch
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from options import study_params, without_folders
from record import RESULTS, ROOT, commit
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.fingerprints import split_fingerprint
from skin_lesions.metrics.bootstrap import percentile_estimate, resampled_weights
from skin_lesions.settings import CONFIG_LOADER_ARGS

Training = dict[str, Any]
REPLICATES = 2000


@dataclass(frozen=True)
class Study:
    """Images, their split, and the trainings done on them.

    ``env``: the environment of the default recipe; ``params``: in the form of ``--params``, each with
    a comma in front; ``root``: the data root; ``kept``: a line for each training.
    """

    env: str
    params: str
    root: Path
    mixup_lambda: Path

    @property
    def told_params(self) -> str:
        """The parameters as results tell them: of the folder, its name alone."""
        return without_folders(self.params)

    def prepare(self) -> None:
        """Ingest and split the images, unless that is done."""
        if not list(self.root.glob("03_primary/split_table.parquet/*/*.parquet")):
            self._run(self.env, "ingest,audit,preprocess", "")

    def training(self, name: str, seed: int, params: str = "", env: str | None = None) -> Training:
        """Train, predict, keep; or return what was kept of the same."""
        env = env or self.env
        asked = {"name": name, "seed": seed, "params": f"{self.told_params}{params}"}
        asked |= {"recipe": self._recipe(env, f"{params},train.seed={seed}")}
        asked |= {"images": self._images()}
        for line in (
            self.mixup_lambda.read_text().splitlines() if self.mixup_lambda.exists() else []
        ):
            done: Training = json.loads(line)
            if asked.items() <= {key: done.get(key) for key in asked}.items():
                return done
        self._run(env, "train,evaluate", f"{params},train.seed={seed}")
        done = asked | self._newest() | {"commit": commit()}
        self.mixup_lambda.parent.mkdir(parents=True, exist_ok=True)
        with self.mixup_lambda.open("a") as file:
            file.write(json.dumps(done) + "\n")
        return done

    def _recipe(self, env: str, params: str) -> dict[str, Any]:
        """Return the recipe that these parameters give: with other defaults it is another one."""
        given = OmegaConf.to_container(
            OmegaConf.from_dotlist(f"{self.params}{params}".split(",")[1:])
        )
        conf = OmegaConfigLoader(
            str(ROOT / "conf"), env=env, runtime_params=given, **CONFIG_LOADER_ARGS
        )
        return TrainRecipe.model_validate(conf["parameters"]["train"]).model_dump()

    def _images(self) -> str:
        """Name the images and their split by their content."""
        return split_fingerprint(pd.read_parquet(self._file("03_primary", "split_table.parquet")))

    def _run(self, env: str, pipelines: str, params: str) -> None:
        params = f"data_root={self.root}{self.params}{params}"
        kedro = [sys.executable, "-m", "kedro", "run", "--env", env, "--pipelines", pipelines]
        subprocess.run([*kedro, "--params", params], cwd=ROOT, check=True)

    def _newest(self) -> Training:
        """Read what the last run left: the course of its training and its predictions."""
        history = pd.read_csv(self._file("06_models", "training_history.csv"))
        predictions = pd.read_parquet(self._file("07_model_output", "predictions.parquet"))
        model = torch.load(self._file("06_models", "model.pth"), weights_only=True)
        splits = {
            split: rows.sort_values("file")[["label", "predicted", "group_id"]].to_dict("list")
            for split, rows in predictions.groupby("split")
        }
        columns = ["seconds", "image_size", "val_balanced_accuracy"]
        return {"recipe": model["recipe"], **history[columns].to_dict("list"), **splits}

    def _file(self, layer: str, name: str) -> Path:
        return sorted((self.root / layer / name).glob(f"*/{name}"))[-1]


def study_of(given: argparse.Namespace, name: str) -> Study:
    """Return the study that the options name; its own split is kept where it ships one."""
    policy = "original" if given.folder else "grouped"
    params = f",split.policy={policy}{study_params(given)}"
    if not given.folder:
        params += ",source.kind=demo,train.weights=none"
    digest = hashlib.sha256(params.encode()).hexdigest()[:8]
    return Study(
        env="folder" if given.folder else "demo",
        params=params,
        root=ROOT / "data" / "benchmarks" / digest,
        mixup_lambda=RESULTS / f"{name}.jsonl",
    )


def balanced_accuracy(training: Training, split: str) -> float:
    return float(_balanced(_hits([training], split), training[split]["label"])[0])


def paired_difference(
    ours: Sequence[Training], theirs: Sequence[Training], split: str
) -> dict[str, Any]:
    """Compare the balanced accuracies of two recipes, trained under the same seeds.

    Their mean difference, with the 95 % interval of a bootstrap in which all trainings see the same
    images drawn, groups kept whole.
    """
    table = ours[0][split]
    hits = [_hits(trainings, split) for trainings in (ours, theirs)]

    def difference(weights: np.ndarray | None = None) -> np.ndarray:
        ours_, theirs_ = (_balanced(hit, table["label"], weights) for hit in hits)
        return np.mean(ours_ - theirs_, axis=0)

    drawn = resampled_weights(table["label"], table["group_id"], REPLICATES, seed=0)
    replicates = np.concatenate([difference(weights) for weights in drawn])
    estimate = percentile_estimate(float(difference()), replicates, len(table["label"]))
    return {"difference": estimate.value, "low": estimate.low, "high": estimate.high}


def _hits(trainings: Sequence[Training], split: str) -> np.ndarray:
    """Return (trainings, n): which images each predicted right."""
    tables = [training[split] for training in trainings]
    if any(table["label"] != tables[0]["label"] for table in tables):
        raise SystemExit("these trainings were judged on different images; delete the .jsonl file")
    return np.array([np.equal(table["label"], table["predicted"]) for table in tables])


def _balanced(
    hits: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the balanced accuracy of each training, (trainings,) or (trainings, replicates)."""
    weights = np.ones(len(labels)) if weights is None else weights
    of_class = [np.asarray(labels) == label for label in sorted(set(labels))]
    recalls = [hits[:, own] @ weights[own] / weights[own].sum(axis=0) for own in of_class]
    return np.asarray(np.mean(recalls, axis=0))
