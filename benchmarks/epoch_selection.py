"""Which epoch should be saved: rules that select it by validation images, compared on test images.

    python benchmarks/epoch_selection.py --folder ../shared/data/isic8_grouped \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

Each recipe is trained with several seeds, to the last epoch. After each epoch, the network predicts
all images that are not training images. These images are divided by groups into two random halves
many times. Each rule selects an epoch by one half, and the other half measures the result. The
training itself uses neither of them.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf

from options import add_study_options
from record import ROOT, save_results
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.loader import ImageDataset, build_dataset
from skin_lesions.models.inference import predict_logits
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from skin_lesions.models.postprocessing.temperature import fit_temperature, softmax_with_temperature
from skin_lesions.pipelines.train.nodes import fit
from skin_lesions.training import best_epoch
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.context import TrainingContext
from skin_lesions.training.state import ValidationMetrics
from trainings import Study, study_of

RECIPES = {
    "default": ("folder", ""),
    "without class balance": ("folder", ",train.class_balance=none"),
    "notebook": ("notebook", ""),
}
DIVISIONS = 200  # random divisions of the images of each training


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network for n images after each epoch.

    ``logits``: (epochs, n, classes). ``log_ratio``: (classes,), added to the logits for equal class
    frequencies. ``labels``: (n,) class numbers.
    """

    logits: np.ndarray
    log_ratio: np.ndarray
    labels: np.ndarray

    def of(self, selected: np.ndarray) -> "Outputs":
        """Return the outputs for some of the images; ``selected``: (n,) bool."""
        return Outputs(self.logits[:, selected], self.log_ratio, self.labels[selected])

    def mean_of_classes(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of the class means of (epochs, n) values, (epochs,)."""
        means = [values[:, self.labels == c].mean(axis=1) for c in np.unique(self.labels)]
        return np.asarray(np.mean(means, axis=0))

    def is_correct(self) -> np.ndarray:
        """Return whether the most probable class for equal frequencies is correct, (epochs, n)."""
        return np.asarray((self.logits + self.log_ratio).argmax(axis=2) == self.labels)

    def log_loss(self, temperatures: np.ndarray) -> np.ndarray:
        """Return the log loss with equal weights of the classes, (epochs,)."""
        rows = np.arange(self.labels.size)
        losses = [
            -np.log(
                np.maximum(
                    softmax_with_temperature(logits, t, self.log_ratio)[rows, self.labels], 1e-12
                )
            )
            for logits, t in zip(self.logits, temperatures, strict=True)
        ]
        return self.mean_of_classes(np.array(losses))

    def temperatures(self) -> np.ndarray:
        """Fit the temperature of each epoch with equal weights of the classes, (epochs,)."""
        classes = self.log_ratio.size
        fits = [
            fit_temperature(logits, self.labels, np.full(classes, 1 / classes), self.log_ratio)
            for logits in self.logits
        ]
        return np.array([fit.temperature for fit in fits])


# A rule returns a value of each epoch, (epochs,). The epoch with the largest value is selected.
Rule = Callable[[Outputs], np.ndarray]


def balanced_accuracy(outputs: Outputs) -> np.ndarray:
    return outputs.mean_of_classes(outputs.is_correct())


def accuracy(outputs: Outputs) -> np.ndarray:
    return np.asarray((outputs.logits.argmax(axis=2) == outputs.labels).mean(axis=1))


def negative_log_loss(outputs: Outputs) -> np.ndarray:
    return -outputs.log_loss(np.ones(len(outputs.logits)))


def negative_calibrated_log_loss(outputs: Outputs) -> np.ndarray:
    return -outputs.log_loss(outputs.temperatures())


def last_epoch(outputs: Outputs) -> np.ndarray:
    return np.arange(len(outputs.logits), dtype=float)


def mean_of_neighbors(rule: Rule) -> Rule:
    """Return the rule with the mean of each epoch and the epochs before and after it."""

    def smoothed(outputs: Outputs) -> np.ndarray:
        padded = np.pad(rule(outputs), 1, constant_values=np.nan)
        return np.asarray(np.nanmean([padded[:-2], padded[1:-1], padded[2:]], axis=0))

    return smoothed


RULES: dict[str, Rule] = {
    "balanced accuracy": balanced_accuracy,
    "balanced accuracy, mean of neighbors": mean_of_neighbors(balanced_accuracy),
    "accuracy": accuracy,
    "balanced log loss": negative_log_loss,
    "balanced log loss, mean of neighbors": mean_of_neighbors(negative_log_loss),
    "balanced log loss, calibrated": negative_calibrated_log_loss,
    "last epoch": last_epoch,
}


def train(study: Study, env: str, params: str, seed: int) -> tuple[Outputs, np.ndarray]:
    """Train, and return the outputs for all other images and their group_id, (n,)."""
    params = f"data_root={study.root}{study.params}{params},train.seed={seed}"
    runtime_params = OmegaConf.to_container(OmegaConf.from_dotlist(params.split(",")))
    with KedroSession.create(ROOT, env=env, runtime_params=runtime_params) as session:
        catalog = session.load_context().catalog
        recipe = TrainRecipe.model_validate(catalog.load("params:train"))
        ingest = Ingest.model_validate(catalog.load("params:ingest"))
        preprocess = Preprocess.model_validate(catalog.load("params:preprocess"))
        pixels, split_table = catalog.load("pixel_store"), catalog.load("split_table")
        rows = split_table.frame.sort_values("file")
        rows = rows[rows["split"] != "train"]
        with recorded_logits(rows, pixels, ingest) as logits, TemporaryDirectory() as folder:
            fit(
                pixels,
                split_table,
                catalog.load("image_table"),
                catalog.load("image_groups"),
                Checkpoints(Path(folder)),
                recipe,
                preprocess,
                ingest,
                MetadataInputs(columns=None, types={}, equalize_missing=True),
            )
    labels = split_table.frame["label"]
    classes = sorted(labels.unique())
    counts = labels[split_table.frame["split"] == "train"].value_counts().reindex(classes)
    frequencies = class_frequencies(counts.tolist(), recipe.class_balance, "balanced")
    numbers = np.searchsorted(classes, rows["label"].to_numpy(str))
    outputs = Outputs(np.array(logits), frequencies.log_ratio_to_balanced, numbers)
    return outputs, rows["group_id"].to_numpy()


@contextmanager
def recorded_logits(rows: Any, pixels: Any, ingest: Ingest) -> Iterator[list[np.ndarray]]:
    """Record the logits of these rows after each epoch, with the network that is validated."""
    recorded: list[np.ndarray] = []
    validate = best_epoch.validate

    def validate_and_record(context: TrainingContext) -> ValidationMetrics:
        preprocessing = context.val_images.preprocessing
        stored = pixels.at(ingest.stored_image_size)
        images: ImageDataset = build_dataset(
            rows, sorted(rows["label"].unique()), stored, preprocessing
        )
        recorded.append(predict_logits(context.eval_network, images, 64, context.device))
        return validate(context)

    with patch.object(best_epoch, "validate", validate_and_record):
        yield recorded


def compare_rules(outputs: Outputs, groups: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """Select by one random half of the images and measure with the other one, many times."""
    rng = np.random.default_rng(seed)
    names, numbers = np.unique(groups, return_inverse=True)
    results: dict[str, list[list[float]]] = {rule: [] for rule in RULES}
    for _ in range(DIVISIONS):
        is_val = (rng.random(names.size) < 0.5)[numbers]
        val, test = outputs.of(is_val), outputs.of(~is_val)
        val_accuracy, test_accuracy = balanced_accuracy(val), balanced_accuracy(test)
        test_loss = test.log_loss(val.temperatures())
        for name, rule in RULES.items():
            epoch = int(rule(val).argmax())
            results[name].append(
                [
                    test_accuracy[epoch],
                    val_accuracy[epoch] - test_accuracy[epoch],
                    test_loss[epoch],
                    epoch + 1,
                ]
            )
    keys = ("balanced_accuracy", "optimism", "log_loss", "epoch")
    return {
        name: dict(zip(keys, np.mean(values, axis=0).tolist(), strict=True))
        for name, values in results.items()
    }


def main(args: argparse.Namespace) -> None:
    bootstrap_project(ROOT)
    study = study_of(args, "epoch_selection")
    study.prepare()
    trainings = []
    for recipe, (env, params) in RECIPES.items():
        for seed in range(1, args.seeds + 1):
            outputs, groups = train(study, env if args.folder else study.env, params, seed)
            rules = compare_rules(outputs, groups, seed)
            trainings.append({"recipe": recipe, "seed": seed, "rules": rules})
            for name, values in rules.items():
                print(recipe, seed, name, {key: round(value, 4) for key, value in values.items()})
    summary = {}
    for name in RULES:
        gains = [
            t["rules"][name]["balanced_accuracy"]
            - t["rules"]["balanced accuracy"]["balanced_accuracy"]
            for t in trainings
        ]
        summary[name] = {
            key: mean(t["rules"][name][key] for t in trainings)
            for key in ("balanced_accuracy", "optimism", "log_loss", "epoch")
        } | {
            "gain": mean(gains),
            "sd_of_gains": stdev(gains),
            "better_in": sum(g > 0 for g in gains),
        }
    save_results(
        "epoch_selection", {"rules": summary, "trainings": trainings, "images": len(groups)}
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    add_study_options(parser)
    main(parser.parse_args())
