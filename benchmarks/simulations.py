"""Simulations behind the shortcut probes and the near-duplicate groups.

- Coverage: how often the nominal 95 % interval of a probe contains the true value if a class has
  three images. Percentile intervals of the bootstrap are compared with widened intervals. The
  intervals of the metrics of a model are simulated by interval_coverage.py.
- Noise: how often the interval of a cross-validated shortcut probe is above chance although its
  input is noise. Expected: 2.5 %.
- Chains: the largest group that false matches create among 3,000 images in true groups of ten.

The simulations are random, but equal seeds give equal results on each machine.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from record import save_results
from skin_lesions.audit.shortcuts.classifiers import lda_predict, naive_bayes_predict
from skin_lesions.data.near_duplicates import merge_pairs
from skin_lesions.data.splits import stratified_group_split
from skin_lesions.metrics.bootstrap import bootstrap, percentile_estimate
from skin_lesions.metrics.classification import macro_metrics
from skin_lesions.metrics.intervals import (
    Estimate,
    mover_interval,
    proportion,
    widen,
)

REPLICATES = 500
CLASS_SIZES, RECALLS = (3, 3, 100, 100), (0.7, 0.9)
NOISE_CLASSES, NOISE_IMAGES, FOLDS = 8, 240, 5
# Noise inputs: levels of a column for naive Bayes, and numbers of measurements for the LDA.
NOISE_LEVELS, NOISE_MEASUREMENTS = (2, 4, 16), (5, 50)
IMAGES, GROUP_SIZE, FALSE_MATCHES = 3000, 10, (30, 300, 1000)


def covered(estimate: Estimate, truth: float) -> bool:
    """Return whether an interval contains the true value; a missing interval does not."""
    if estimate.low is None or estimate.high is None:
        return False
    return estimate.low <= truth <= estimate.high


def balanced_accuracy_coverage(recall: float, runs: int) -> dict[str, float]:
    """Return the coverage of a balanced accuracy, two of whose classes have three images."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)
    pairs = []
    for seed in range(runs):
        right = rng.random(label.size) < recall
        predicted = np.where(right, label, (label + 1) % len(CLASS_SIZES))
        plain = _balanced_accuracy(label, predicted, np.arange(label.size), seed)
        recalls = [proportion(right[label == c]) for c in range(len(CLASS_SIZES))]
        widened = widen(plain, *mover_interval(recalls))
        pairs.append((covered(plain, recall), covered(widened, recall)))
    return _fractions(pairs)


def _balanced_accuracy(
    label: np.ndarray, predicted: np.ndarray, groups: np.ndarray, seed: int
) -> Estimate:
    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return macro_metrics(label, predicted, int(label.max()) + 1, weights)

    value = float(statistic(np.ones((label.size, 1), np.int32))["balanced_accuracy"][0])
    replicates = bootstrap(statistic, label, groups, replicates=REPLICATES, seed=seed)
    return percentile_estimate(value, replicates["balanced_accuracy"], label.size)


def noise_above_chance(
    predict: Callable[..., np.ndarray], draw: Callable[[np.random.Generator], np.ndarray], runs: int
) -> dict[str, float]:
    """Return how often a probe of noise is above chance.

    Args:
        predict: Classifier of the probe.
        draw: Function that draws the noise, one row per image.
        runs: Number of probes.
    """
    label = np.arange(NOISE_IMAGES) % NOISE_CLASSES
    groups = np.arange(NOISE_IMAGES)
    table = pd.DataFrame({"label": label.astype(str), "group_id": groups})
    fractions = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    chance = 1 / NOISE_CLASSES
    pairs = []
    for seed in range(runs):
        noise = draw(np.random.default_rng(seed))
        fold = stratified_group_split(table, fractions, seed).to_numpy()
        predicted = np.empty_like(label)
        for test in fractions:
            train = fold != test
            predicted[~train] = predict(noise[train], label[train], noise[~train])
        recalls = [proportion(predicted[label == c] == c) for c in range(NOISE_CLASSES)]
        plain = widen(_balanced_accuracy(label, predicted, groups, seed), *mover_interval(recalls))
        if plain.value is None or plain.low is None:
            raise RuntimeError("A balanced accuracy without an interval")
        # As in audit.shortcuts.probes: factor of Nadeau and Bengio for FOLDS folds.
        low = plain.value - np.sqrt(1 + FOLDS / (FOLDS - 1)) * (plain.value - plain.low)
        pairs.append((plain.low > chance, low > chance))
    return _fractions(pairs)


def _fractions(pairs: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    plain, widened = np.mean(pairs, axis=0).tolist()
    return {"plain": plain, "widened": widened}


def largest_groups(false_matches: int) -> dict[str, int]:
    """Return the largest group by the rules of the project, and by connected components."""
    rng = np.random.default_rng(0)
    true_pairs = [(row, row + 1, 0.9) for row in range(IMAGES) if (row + 1) % GROUP_SIZE]
    false_pairs = [
        (*sorted(rng.choice(IMAGES, 2, replace=False).tolist()), rng.uniform(0.75, 0.99))
        for _ in range(false_matches)
    ]
    pairs = pd.DataFrame([*true_pairs, *false_pairs], columns=["a", "b", "strength"])
    edges = (pairs["a"].to_numpy(), pairs["b"].to_numpy())
    graph = coo_array((np.ones(len(pairs)), edges), shape=(IMAGES, IMAGES))
    components = connected_components(graph, directed=False)[1]
    return {
        "rules": int(np.bincount(merge_pairs(IMAGES, pairs.assign(kind="changed"))).max()),
        "connected_components": int(np.bincount(components).max()),
    }


def main(runs: int, name: str) -> None:
    results: dict[str, Any] = {
        "runs": runs,
        "coverage_of_balanced_accuracy_by_recall": {
            str(recall): balanced_accuracy_coverage(recall, runs) for recall in RECALLS
        },
        "noise_above_chance_by_levels": {
            str(levels): noise_above_chance(
                naive_bayes_predict,
                lambda rng, levels=levels: rng.integers(levels, size=(NOISE_IMAGES, 1)),
                runs,
            )
            for levels in NOISE_LEVELS
        },
        "noise_above_chance_by_measurements": {
            str(columns): noise_above_chance(
                lda_predict,
                lambda rng, columns=columns: rng.normal(size=(NOISE_IMAGES, columns)),
                runs,
            )
            for columns in NOISE_MEASUREMENTS
        },
        "largest_group_by_false_matches": {
            str(number): largest_groups(number) for number in FALSE_MATCHES
        },
    }
    save_results(name, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=400, help="repetitions of each simulation")
    parser.add_argument("--name", default="simulations")
    main(**vars(parser.parse_args()))
