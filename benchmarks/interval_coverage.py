"""Simulation of the coverage of the confidence intervals of ``metrics.json``.

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --replications 200 --settings "300 images, 8 classes"

Each replication simulates the predictions of a test split and computes its metrics with the
function that ``kedro run --pipelines evaluate`` calls. The table shows in how many replications
the 95 % interval contains the true value, which is the metric of a very large simulated split. For
means over classes it is the mean over the classes that have images in the replication. ``below``
and ``above`` count the intervals that are completely below or above the true value.

Images of one group have a common random effect on all logits. In the settings with mixed labels, a
group is a patient with a prevailing diagnosis and others.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from record import save_results
from skin_lesions.core.parallel import ordered_map
from skin_lesions.evaluation.scorecard import SplitMetrics, compute_metrics
from skin_lesions.metrics.intervals import Estimate

Rng = np.random.Generator
LARGE_SPLIT = 200_000  # images from which the true values are computed
OVERALL = ("accuracy", "log_loss", "brier", "top2_accuracy", "matthews_correlation", "cohen_kappa")
MEANS = {  # overall metric: metric of a class
    "balanced_accuracy": "recall",
    "macro_f1": "f1",
    "auroc_macro": "auroc",
    "average_precision_macro": "average_precision",
}
GROUP_EFFECT = 0.8  # standard deviation of the common effect of a group, relative to the noise
NOISE = 1.3  # standard deviation of the noise of each logit
SIGNAL = (3.4, 1.6)  # increase of the logit of the label, for the most common and the rarest class


@dataclass(frozen=True)
class Setting:
    """A simulated test split.

    Attributes:
        images: Number of images.
        frequencies: Frequency of each class, (k,).
        group_sizes: Smallest and largest number of images of a group.
        prevailing: Fraction of the images of a group that have its prevailing label. The labels of
            the others are drawn from all classes.
    """

    images: int
    frequencies: np.ndarray
    group_sizes: tuple[int, int]
    prevailing: float = 1.0


def geometric(classes: int, ratio: float, smallest: float = 0.0) -> np.ndarray:
    frequencies = np.maximum(ratio ** np.arange(classes), smallest)
    return frequencies / frequencies.sum()


EIGHT = geometric(8, 0.65)
SETTINGS = {
    "300 images, 8 classes": Setting(300, EIGHT, (1, 4)),
    "120 images, 14 classes, no groups": Setting(120, geometric(14, 0.8, 0.1), (1, 1)),
    "2,000 images, 8 classes": Setting(2000, EIGHT, (1, 4)),
    "300 images of patients with mixed labels": Setting(300, EIGHT, (1, 10), prevailing=0.5),
    "21 patients of 10 to 20 images, mixed labels": Setting(315, EIGHT, (10, 20), prevailing=0.5),
}


def simulate_labels(setting: Setting, images: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the label and the group of about this number of images, (n,) both."""
    low, high = setting.group_sizes
    sizes = rng.integers(low, high + 1, round(2 * images / (low + high)))
    group = np.repeat(np.arange(sizes.size), sizes)
    n, k = group.size, setting.frequencies.size
    own = rng.choice(k, n, p=setting.frequencies)
    of_group = rng.choice(k, sizes.size, p=setting.frequencies)[group]
    return np.where(rng.random(n) < setting.prevailing, of_group, own), group


def simulate(setting: Setting, images: int, rng: Rng) -> pd.DataFrame:
    """Simulate the predictions of about this number of images."""
    label, group = simulate_labels(setting, images, rng)
    n, k = label.size, setting.frequencies.size
    of_groups = rng.normal(0, GROUP_EFFECT, (int(group.max()) + 1, k))
    noise = of_groups[group] + rng.normal(size=(n, k))
    logits = NOISE * noise
    logits[np.arange(n), label] += np.linspace(*SIGNAL, k)[label]
    probability = np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    names = class_names(k)
    columns = {f"p_{name}": probability[:, c] for c, name in enumerate(names)}
    return pd.DataFrame(
        {
            "group_id": group,
            "label": names[label],
            "predicted": names[probability.argmax(axis=1)],
            **columns,
        }
    )


def class_names(classes: int) -> np.ndarray:
    return np.array([f"class {c}" for c in range(classes)])


def true_values(truth: SplitMetrics, found: SplitMetrics) -> dict[str, float]:
    """Return the true value of each metric; means over the classes that were evaluated."""
    present = [name for name, entry in found.per_class.items() if entry.support]
    of_classes = {
        metric: float(np.mean([truth.per_class[name][key].value for name in present]))
        for metric, key in MEANS.items()
    }
    overall = {key: truth[key].value for key in OVERALL}
    return {**overall, **of_classes}


def measure(setting: Setting, replications: int) -> dict[str, dict[str, float]]:
    """Return coverage and mean width of the intervals of each metric."""
    classes = class_names(setting.frequencies.size).tolist()
    truth = compute_metrics(simulate(setting, LARGE_SPLIT, np.random.default_rng(0)), classes, 0)

    def replicate(number: int) -> list[tuple[str, Estimate, float]]:
        rng = np.random.default_rng([1, number])
        found = compute_metrics(simulate(setting, setting.images, rng), classes, 0)
        values = true_values(truth, found)
        rows = [(metric, found[metric], value) for metric, value in values.items()]
        for name, entry in found.per_class.items():
            if entry.support:
                rows.append(("recall", entry["recall"], truth.per_class[name]["recall"].value))
        return rows

    rows = [row for found in ordered_map(replicate, range(replications)) for row in found]
    return mean_rows([coverage_row(*row) for row in rows])


def coverage_row(metric: str, estimate: Estimate, true_value: float) -> dict[str, Any]:
    """Return whether an interval exists and contains the true value, and its width."""
    low, high = estimate.low, estimate.high
    if low is None or high is None:
        return {"metric": metric, "has_interval": 0.0}
    below, above = high < true_value, low > true_value
    return {
        "metric": metric,
        "has_interval": 1.0,
        "coverage": float(not below and not above),
        "below": float(below),
        "above": float(above),
        "width": high - low,
    }


def mean_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean of the rows of each metric; metrics without intervals have no coverage."""
    means = pd.DataFrame(rows).groupby("metric", sort=False).mean().round(4)
    return means.astype(object).where(means.notna(), None).to_dict("index")


def main(measure: Callable[[Setting, int], dict[str, Any]], description: str, name: str) -> None:
    """Measure each setting that the command line selects, print and save the results."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--name", default=name)
    args = parser.parse_args()
    results: dict[str, Any] = {"replications": args.replications, "settings": {}}
    for setting in args.settings:
        results["settings"][setting] = measure(SETTINGS[setting], args.replications)
        print(f"\n{setting}")
        print(pd.DataFrame(results["settings"][setting]).T.to_string(), flush=True)
    save_results(args.name, results)


if __name__ == "__main__":
    main(measure, __doc__, "interval_coverage")
