"""Alignment of two tables of predictions: the same test images in the same order."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.evaluation.classes import predicted_classes


@dataclass(frozen=True, kw_only=True)
class AlignedTests:
    """The test images of two tables of predictions.

    ``baseline`` and ``candidate`` have the same images in the same order, (n,) rows each.
    ``group`` is the number of the group of each image, (n,): images that are in one group of either
    table are in one group.
    """

    baseline: pd.DataFrame
    candidate: pd.DataFrame
    group: NDArray[np.intp]


def common_classes(baseline: pd.DataFrame, candidate: pd.DataFrame) -> tuple[str, ...]:
    """Return the classes of both tables, in the order of the candidate.

    Raises:
        InputError: They have different classes.
    """
    of_baseline, of_candidate = predicted_classes(baseline), predicted_classes(candidate)
    only_baseline = sorted(set(of_baseline) - set(of_candidate))
    only_candidate = sorted(set(of_candidate) - set(of_baseline))
    if only_baseline or only_candidate:
        raise InputError(
            f"The two models have different classes ({len(of_baseline)} and {len(of_candidate)}). "
            f"Only in the baseline: {_names(only_baseline)}; only in the candidate: "
            f"{_names(only_candidate)}. Expected equal classes. Fix: compare models that were "
            "trained on the same labels"
        )
    return of_candidate


def rows_of_test(predictions: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the predictions of the test images.

    Raises:
        InputError: There are none.
    """
    rows = predictions[predictions["split"] == "test"]
    if rows.empty:
        raise InputError(
            f"The predictions of the {name} contain no test images. Expected rows with the split "
            "test. Fix: kedro run --pipelines evaluate"
        )
    return rows


def number_of_common_images(baseline: pd.DataFrame, candidate: pd.DataFrame) -> int:
    """Return how many image_ids are in both tables."""
    return len(set(baseline["image_id"]) & set(candidate["image_id"]))


def align_tests(baseline: pd.DataFrame, candidate: pd.DataFrame) -> AlignedTests:
    """Bring the test images of two tables into the same order.

    Args:
        baseline: Test rows of the baseline.
        candidate: Test rows of the candidate.

    Raises:
        InputError: The test images or their labels differ.
    """
    first, second = _sorted(baseline), _sorted(candidate)
    keys = [pd.MultiIndex.from_frame(rows[["image_id", "copy"]]) for rows in (first, second)]
    only_baseline = len(keys[0].difference(keys[1]))
    only_candidate = len(keys[1].difference(keys[0]))
    if only_baseline or only_candidate:
        raise InputError(
            f"The test images differ: {only_baseline:,} are only in the baseline, "
            f"{only_candidate:,} only in the candidate, and "
            f"{number_of_common_images(baseline, candidate):,} in both. Expected the same test "
            "images. Fix: evaluate both models on one split, or set compare.paired=false for an "
            "unpaired comparison"
        )
    changed = (first["label"] != second["label"]).to_numpy()
    if changed.any():
        example = first.loc[changed, "file"].iloc[0]
        raise InputError(
            f"{pluralize(int(changed.sum()), 'test image')} (e.g. {printable(example)}) "
            "have different labels in the two tables. Expected equal labels. Fix: evaluate both "
            "models on one version of the labels, or set compare.paired=false"
        )
    group = _merged_groups(first["group_id"], second["group_id"])
    return AlignedTests(baseline=first, candidate=second, group=group)


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort by image; ``copy`` numbers the files with equal bytes (split.policy=original)."""
    ordered = rows.sort_values(["image_id", "label", "file"], ignore_index=True)
    return ordered.assign(copy=ordered.groupby("image_id").cumcount())


def _merged_groups(first: pd.Series, second: pd.Series) -> NDArray[np.intp]:
    """Return group numbers, (n,), that join the groups of both tables."""
    a, b = pd.factorize(first)[0], pd.factorize(second)[0]
    shape = (int(a.max()) + 1, int(b.max()) + 1)
    # A bipartite graph: each image links its group in one table with its group in the other one.
    links = sparse.coo_array((np.ones(a.size), (a, b)), shape=shape)
    graph = sparse.block_array([[None, links], [links.T, None]])
    _, component = csgraph.connected_components(graph, directed=False)
    return np.asarray(component[: shape[0]][a], np.intp)


def _names(labels: list[str]) -> str:
    listed = ", ".join(map(printable, labels[:5]))
    return f"{listed}, ..." if len(labels) > 5 else listed or "none"
