"""Simulation of the coverage of the paired intervals of the pipeline ``compare``.

    python benchmarks/paired_coverage.py
    python benchmarks/paired_coverage.py --replications 200 --settings "300 images, 8 classes"

Each replication simulates the predictions of two models on the same test images, and compares them
with the function that ``kedro run --pipelines compare`` calls. The candidate is slightly better.
Both models share a part of the noise of each image. The table shows in how many replications the
95 % interval contains the true difference. The settings, the true values and ``below`` and
``above`` are those of ``interval_coverage.py``.
"""

from typing import Any

import numpy as np
import pandas as pd

from interval_coverage import (
    GROUP_EFFECT,
    LARGE_SPLIT,
    NOISE,
    SIGNAL,
    Rng,
    Setting,
    class_names,
    coverage_row,
    main,
    mean_rows,
    simulate_labels,
    true_values,
)
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.provenance import PredictionProvenance
from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.comparison import compare_predictions
from skin_lesions.evaluation.scorecard import compute_metrics

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "log_loss")
GAIN = 0.3  # added to the logit of the label by the candidate
SHARED = 0.7  # fraction of the variance of the noise that both models have in common


def simulate_pair(setting: Setting, images: int, rng: Rng) -> tuple[PredictionTable, ...]:
    """Simulate the predictions of baseline and candidate for about this number of images."""
    label, group = simulate_labels(setting, images, rng)
    k = setting.frequencies.size

    def noise() -> np.ndarray:
        of_groups = rng.normal(0, GROUP_EFFECT, (int(group.max()) + 1, k))
        return np.asarray(of_groups[group] + rng.normal(size=(label.size, k)))

    shared = noise()
    return tuple(
        _table(
            setting, label, group, np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * noise(), gain
        )
        for gain in (0.0, GAIN)
    )


def _table(
    setting: Setting, label: np.ndarray, group: np.ndarray, noise: np.ndarray, gain: float
) -> PredictionTable:
    k = setting.frequencies.size
    logits = NOISE * noise
    logits[np.arange(label.size), label] += np.linspace(*SIGNAL, k)[label] + gain
    probability = np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    names = class_names(k)
    image = [f"{number:064x}" for number in range(label.size)]
    frame = pd.DataFrame(
        {
            "file": image,
            "image_id": image,
            "group_id": group.astype(str),
            "split": "test",
            "is_leaked": False,
            "label": names[label],
            "predicted": names[probability.argmax(axis=1)],
            **{f"p_{name}": probability[:, c] for c, name in enumerate(names)},
        }
    )
    provenance = PredictionProvenance(
        model_version="simulated",
        split_table_version="simulated",
        image_table_version="simulated",
        raw_images_version="simulated",
    )
    return PredictionTable(frame, provenance)


def measure(setting: Setting, replications: int) -> dict[str, dict[str, float]]:
    """Return coverage and mean width of the intervals of each difference."""
    classes = class_names(setting.frequencies.size).tolist()
    truth = [
        compute_metrics(table.frame, classes, 0)
        for table in simulate_pair(setting, LARGE_SPLIT, np.random.default_rng(0))
    ]

    def replicate(number: int) -> list[dict[str, Any]]:
        rng = np.random.default_rng([2, number])
        tables = simulate_pair(setting, setting.images, rng)
        found = compare_predictions(
            *tables, sources=("baseline", "candidate"), is_paired=True, max_examples=0
        )
        evaluated = compute_metrics(tables[0].frame, classes, 0)
        baseline, candidate = (true_values(values, evaluated) for values in truth)
        return [
            coverage_row(
                metric, found.metrics[metric].difference, candidate[metric] - baseline[metric]
            )
            for metric in METRICS
        ]

    return mean_rows(
        [row for found in ordered_map(replicate, range(replications)) for row in found]
    )


if __name__ == "__main__":
    main(measure, __doc__, "paired_coverage")
