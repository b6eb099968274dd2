"""Time of all metrics of simulated predictions: scorecard, malignancy and subgroups.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --images 200 --rounds 1

Each round computes, with the functions of ``kedro run --pipelines evaluate``, the metrics of one
split, the results of malignant against benign, and the subgroups by age, sex, site and source.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from interval_coverage import SETTINGS, Setting, geometric, simulate
from record import save_results
from skin_lesions.config.evaluate import Slices
from skin_lesions.data.diagnoses import DIAGNOSES, malignant_classes
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.evaluation.malignancy import malignancy_subset
from skin_lesions.evaluation.scorecard import compute_metrics
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.slices import compute_slices
from skin_lesions.models.postprocessing.malignancy_thresholds import fit_malignancy_thresholds

CLASSES = [diagnosis.name for diagnosis in DIAGNOSES]
SLICES = Slices(columns=None, min_images=30, age_bands=(30, 45, 60, 75), max_values=12)
GROUP_SIZES = SETTINGS["2,000 images, 8 classes"].group_sizes
_ORIGIN = {
    name: "simulated"
    for name, field in MetricsProvenance.model_fields.items()
    if field.annotation is str
}


def simulated_predictions(images: int) -> pd.DataFrame:
    """Simulate predictions of the known diagnoses."""
    setting = Setting(images, geometric(len(CLASSES), 0.8), GROUP_SIZES)
    table = simulate(setting, images, np.random.default_rng(0))
    names = {f"class {c}": name for c, name in enumerate(CLASSES)}
    columns = {f"p_{number}": f"p_{name}" for number, name in names.items()}
    return table.rename(columns=columns).replace({"label": names, "predicted": names})


def simulated_metadata(images: int) -> pd.DataFrame:
    """Simulate age, sex, site and source of images."""
    rng = np.random.default_rng(1)
    sites = [f"site {number}" for number in range(8)]
    return pd.DataFrame(
        {
            "age": np.where(rng.random(images) < 0.1, np.nan, rng.integers(5, 90, images)),
            "sex": rng.choice(["female", "male", None], images),
            "site": rng.choice(sites, images),
            "source": rng.choice(["a", "b"], images),
        }
    )


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(images: int, rounds: int) -> dict[str, Any]:
    """Return the median seconds of each evaluator and of all together."""
    predictions = simulated_predictions(images)
    metadata = simulated_metadata(len(predictions))
    rows = prediction_arrays(predictions, CLASSES)
    thresholds = fit_malignancy_thresholds(
        rows.probability, rows.label, malignant_classes(CLASSES, None), [0.9, 0.95]
    )
    provenance = MetricsProvenance.model_validate({**_ORIGIN, "synthetic_images": True})
    evaluators: dict[str, Callable[[], object]] = {
        "score": lambda: compute_metrics(predictions, CLASSES, 0, temperature=1.5),
        "malignancy": lambda: malignancy_subset(
            rows,
            thresholds=thresholds,
            prevalences=(0.01, 0.05, 0.2),
            max_threshold_probability=0.5,
        ),
        "slices": lambda: compute_slices(
            rows, metadata, SLICES, split_policy="grouped", provenance=provenance
        ),
    }
    seconds = {
        name: np.median([seconds_of(work) for _ in range(rounds)]).item()
        for name, work in evaluators.items()
    }
    return {
        "images": len(predictions),
        "classes": len(CLASSES),
        "rounds": rounds,
        "seconds_of_each": seconds,
        "seconds": sum(seconds.values()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=3700)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="metrics")
    args = parser.parse_args()
    save_results(args.name, measure(args.images, args.rounds))
