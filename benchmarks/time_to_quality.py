"""Benchmark of accuracy against training time: the default recipe compared with the notebook.

    python benchmarks/time_to_quality.py --folder ../shared/data/isic8_grouped \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

For each seed, three trainings run on the same images and from the same initial weights:

- the recipe of the notebook (--env notebook) for its five epochs
- the default recipe for as many epochs as fit into a third of those seconds
- the default recipe for as many epochs as fit into all of those seconds

Seconds are those of training and validation. Decoding is done before the measurement.

Each training is saved as a line of results/<name>.jsonl. Run the same command again to resume an
interrupted benchmark, or run it with more --seeds to add trainings. Delete the file to start from
scratch.
"""

import argparse
from statistics import mean
from typing import Any

import numpy as np

from options import add_study_options
from record import save_results
from skin_lesions.config.train import TrainRecipe
from skin_lesions.training.schedules import image_size_at
from trainings import Study, Training, balanced_accuracy, paired_difference, study_of


def predicted_seconds(epochs: int, pace: Training) -> float:
    """Predict the seconds of a training.

    The seconds of an epoch are ``per_pixel * image_size**2 + constant``, fitted to ``pace``.
    """
    if len(set(pace["image_size"])) == 1:
        per_pixel, constant = 0.0, mean(pace["seconds"])
    else:
        per_pixel, constant = np.polyfit(np.square(pace["image_size"]), pace["seconds"], 1)
    recipe = TrainRecipe.model_validate(pace["recipe"]).model_copy(update={"epochs": epochs})
    sizes = (image_size_at(epoch, recipe) for epoch in range(1, epochs + 1))
    return float(sum(per_pixel * size**2 + constant for size in sizes))


def epochs_within(budget: float, pace: Training) -> int:
    epochs = 1
    while predicted_seconds(epochs + 1, pace) <= budget:
        epochs += 1
    return epochs


def seconds_to(value: float, training: Training) -> float | None:
    """Return the seconds until validation first reached ``value``, or None if it never did."""
    values = np.array(training["val_balanced_accuracy"])
    reached = np.flatnonzero(values >= value)
    return float(np.cumsum(training["seconds"])[reached[0]]) if len(reached) else None


def train_recipes(
    study: Study, seed: int, pace: Training, notebook_params: str
) -> dict[str, Training]:
    notebook = study.training("notebook", seed, notebook_params, env="notebook")
    budget = sum(notebook["seconds"])
    default = {
        name: study.training(name, seed, f",train.epochs={epochs_within(fraction * budget, pace)}")
        for name, fraction in (("third", 1 / 3), ("same", 1.0))
    }
    return {"notebook": notebook, **default}


def summary(runs: list[dict[str, Training]]) -> dict[str, Any]:
    """Summarize the trainings of all seeds."""

    def per_seed(function: Any, name: str) -> list[float]:
        return [round(function(run[name]), 4) for run in runs]

    best = {
        name: per_seed(lambda t: max(t["val_balanced_accuracy"]), name)
        for name in ("notebook", "third", "same")
    }
    test = {name: per_seed(lambda t: balanced_accuracy(t, "test"), name) for name in best}
    seconds = {name: per_seed(lambda t: sum(t["seconds"]), name) for name in best}
    seconds_to_notebook_best = {
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
        "seconds_to_notebooks_best": seconds_to_notebook_best,
        "test_gain_in_the_same_seconds": paired,
        "commits": sorted({run[name]["commit"] for run in runs for name in best}),
    }


def main(args: argparse.Namespace) -> None:
    study = study_of(args, args.name)
    study.prepare()
    # Four epochs: progressive resizing uses several image sizes, and the time of each is needed.
    pace = study.training("pace", 0, ",train.epochs=4")
    runs = [
        train_recipes(study, seed, pace, args.notebook_params) for seed in range(1, args.seeds + 1)
    ]
    save_results(args.name, {"seeds": args.seeds, "params": study.reported_params} | summary(runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--name", default="time_to_quality")
    parser.add_argument(
        "--notebook-params",
        default="",
        help="further parameters of the notebook recipe, each after a comma",
    )
    add_study_options(parser)
    main(parser.parse_args())
