"""Shortcut probes: train a classifier on one input, and evaluate it on unseen groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.audit.findings import ProbeResult
from skin_lesions.audit.shortcuts.classifiers import lda_predict, naive_bayes_predict
from skin_lesions.audit.shortcuts.inputs import (
    MIN_GROUPS,
    Kind,
    ProbeInput,
    missingness_inputs,
    probe_inputs,
)
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.splits import has_label_conflict, stratified_group_split
from skin_lesions.metrics import bootstrap, intervals
from skin_lesions.metrics.classification import macro_metrics
from skin_lesions.metrics.intervals import Estimate, unavailable

FOLDS = 5
ALL = "all"
_TERMS = 5  # of each class
_MISSINGNESS_REPLICATES = 500  # of the bootstrap, in ``probe_missingness``

Numbers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The score of one probe input: how well it predicts the class on its own.

    Attributes:
        name: Name of the input; for metadata the name of the column, or of several columns.
        columns: The metadata columns, if the input consists of metadata.
        kind: The kind of input.
        scope: ``all``, ``within <source>`` or ``from <source> to <source>``.
        accuracy: Balanced accuracy on unseen groups, with its 95 % interval.
        chance: One over the number of classes. It is exact: the recalls of any guess that ignores
            the label sum to 1 in expectation, for all class sizes.
        ceiling: The maximum for this number of different values. A yes-or-no value can name two
            of 14 classes, so its ceiling is 2/14.
        classes: The classes that are distinguished.
        excluded_classes: Classes with too few groups.
        recalls: Recall of each class.
        parts: Balanced accuracy of parts of the input, such as the bytes of a file.
        terms: The most typical terms of each class, if the input is a text.
    """

    name: str
    columns: tuple[str, ...]
    kind: Kind
    scope: str
    accuracy: Estimate
    chance: float | None
    ceiling: float | None
    classes: tuple[str, ...]
    excluded_classes: tuple[str, ...]
    recalls: Mapping[str, float]
    parts: Mapping[str, float]
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def result(self) -> ProbeResult:
        """Return the entry of ``audit_findings.json``."""
        return ProbeResult(
            name=self.name,
            columns=list(self.columns),
            kind=self.kind,
            scope=self.scope,
            balanced_accuracy=self.accuracy,
            chance=self.chance,
            ceiling=self.ceiling,
            classes=len(self.classes),
            excluded_classes=list(self.excluded_classes),
            parts=dict(self.parts),
        )


def probe_shortcuts(
    table: pd.DataFrame,
    images: PixelArray,
    store: ObjectStore,
    *,
    sample: int,
    seed: int,
    replicates: int,
) -> list[Probe]:
    """Probe how well each input predicts the class: on all images, within and across sources.

    Probes are cross-validated in five folds that split no group, so that near-duplicates and
    other images of a lesion give no advantage. Images with conflicting labels are left out, and
    exact duplicates count once. If there is only one source but several kinds of image
    (diagnoses.py: dermoscopy, photograph), each kind is probed on its own.

    A column that is distributed exactly evenly over the classes, such as a stratified split,
    scores below chance: a value that is more frequent in the training folds is less frequent in
    the test fold. Such a column carries no information.

    Args:
        table: One row per readable file: the image table with its metadata columns, group_id and
            pixel_id.
        images: The decoded images.
        store: The raw images, for their headers.
        sample: Maximum number of images. The sample is as balanced over the classes as possible,
            and has as many groups of each class as possible.
        seed: Equal seeds and equal tables give equal probes, for any order of the rows.
        replicates: Number of bootstrap replicates of each interval.

    Returns:
        The probes on all images, then those within each source, then those across sources.
        Without two classes of five groups each, the probes on all images state this as their
        reason, and the others are left out.
    """
    table = table[~has_label_conflict(table)].sort_values("file").drop_duplicates("image_id")
    table = sampled(table.reset_index(drop=True), sample, seed)
    if table.empty:
        return []
    inputs = probe_inputs(table, images, store)
    probes: list[Probe] = []
    for scope in _scopes(table, seed):
        probes += _run_probe(scope, inputs, table, replicates, seed)
    return probes


def probe_missingness(table: pd.DataFrame, columns: Sequence[str], seed: int) -> list[Probe]:
    """Probe how well the class is predicted by which values of some columns are known.

    Args:
        table: One row per file: file, image_id, source, label, group_id and the columns.
        columns: Metadata columns.
        seed: As in ``probe_shortcuts``.

    Returns:
        The probes on all images, then those within each source, then those across sources.
    """
    table = table.sort_values("file", ignore_index=True)
    inputs = list(missingness_inputs(table, columns))
    return [
        probe
        for scope in _scopes(table, seed)
        for probe in _run_probe(scope, inputs, table, _MISSINGNESS_REPLICATES, seed)
    ]


def sampled(table: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    """Draw a balanced sample: the first image of each group, then the second, up to the quota."""
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = table.iloc[order]
    rank_in_group = shuffled.groupby(["label", "group_id"]).cumcount()
    shuffled = shuffled.iloc[np.argsort(rank_in_group.to_numpy(), kind="stable")]
    rank_in_class = shuffled.groupby("label").cumcount()
    quota = _balanced_counts(table["label"].value_counts(), sample)
    return shuffled[rank_in_class < shuffled["label"].map(quota)].sort_values(
        "file", ignore_index=True
    )


def _balanced_counts(counts: pd.Series, total: int) -> dict[str, int]:
    """Divide a total evenly; what small classes cannot use goes to the larger ones."""
    quotas: dict[str, int] = {}
    ascending = counts.sort_index().sort_values(kind="stable")
    for at, (label, n) in enumerate(ascending.items()):
        quotas[str(label)] = min(int(n), total // (len(counts) - at))
        total -= quotas[str(label)]
    return quotas


@dataclass(frozen=True)
class _Scope:
    """The rows and classes of a probe.

    ``folds``: pairs of training rows and test rows, as row numbers of the table.
    """

    name: str
    folds: list[tuple[Numbers, Numbers]]
    classes: list[str]
    excluded_classes: list[str]

    @property
    def evaluated_rows(self) -> Numbers:
        return np.sort(np.concatenate([test for _, test in self.folds]))


def _scopes(table: pd.DataFrame, seed: int) -> Iterator[_Scope]:
    yield _within(ALL, table, np.arange(len(table)), seed)
    source = _sources(table)
    names = sorted(set(source.dropna()))
    if len(names) < 2:
        return
    for name in names:
        scope = _within(f"within {name}", table, np.flatnonzero(source == name), seed)
        if scope.folds:
            yield scope
    for train_source in names:
        for test_source in names:
            if train_source != test_source:
                yield from _across(table, source, train_source, test_source)


def _sources(table: pd.DataFrame) -> pd.Series:
    """Return the source of each row, or the image kind of its label if there is only one source."""
    if table["source"].nunique() > 1:
        return table["source"]
    diagnoses = {label: diagnosis_of(label) for label in table["label"].unique()}
    return table["label"].map({name: d.image_kind for name, d in diagnoses.items() if d})


def _within(name: str, table: pd.DataFrame, rows: Numbers, seed: int) -> _Scope:
    classes, excluded_classes = _large_enough(table.iloc[rows])
    if len(classes) < 2:
        return _Scope(name, [], classes, excluded_classes)
    selected = rows[table["label"].iloc[rows].isin(classes)]
    fractions = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    fold = stratified_group_split(table.iloc[selected], fractions, seed).to_numpy()
    folds = [(selected[fold != test], selected[fold == test]) for test in np.unique(fold)]
    return _Scope(name, folds, classes, excluded_classes)


def _across(
    table: pd.DataFrame, source: pd.Series, train_source: str, test_source: str
) -> Iterator[_Scope]:
    """Train on one source, evaluate on the groups of another that the first does not contain."""
    train = table[source == train_source]
    test = table[(source == test_source) & ~table["group_id"].isin(train["group_id"])]
    shared = set(_large_enough(train)[0]) & set(_large_enough(test)[0])
    if len(shared) < 2:
        return
    # The index of the table is 0 to n - 1, so it has the row numbers.
    train_rows = np.asarray(train.index[train["label"].isin(shared)], np.intp)
    test_rows = np.asarray(test.index[test["label"].isin(shared)], np.intp)
    excluded_classes = (set(train["label"]) | set(test["label"])) - shared
    yield _Scope(
        name=f"from {train_source} to {test_source}",
        folds=[(train_rows, test_rows)],
        classes=sorted(shared),
        excluded_classes=sorted(excluded_classes),
    )


def _large_enough(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the classes with enough groups to train and evaluate on, and the others."""
    groups = table.groupby("label")["group_id"].nunique()
    enough = groups >= MIN_GROUPS
    return groups.index[enough].tolist(), groups.index[~enough].tolist()


def _run_probe(
    scope: _Scope, inputs: Sequence[ProbeInput], table: pd.DataFrame, replicates: int, seed: int
) -> Iterator[Probe]:
    # (n,), class numbers; -1 for rows of other classes
    label = pd.Index(scope.classes).get_indexer(pd.Index(table["label"]))
    predicted = {}
    for number, probe_input in enumerate(inputs):
        reason = _skip_reason(scope, probe_input)
        if reason is None:
            predicted[number] = _predictions(scope, probe_input.values, label)
        elif scope.name == ALL:
            yield _skipped_probe(scope, probe_input, reason)
    if predicted:
        groups = table["group_id"].to_numpy()[scope.evaluated_rows]
        estimates = _accuracies(scope, label, predicted, groups, replicates, seed)
        for number, estimate in estimates.items():
            yield _probe(scope, inputs[number], label, predicted[number], estimate)


def _skip_reason(scope: _Scope, probe_input: ProbeInput) -> str | None:
    if probe_input.reason is not None:
        return probe_input.reason
    if not scope.folds:
        return f"not enough images: two classes with {MIN_GROUPS} groups each are required"
    values = probe_input.values[scope.evaluated_rows]
    return "all images have the same value" if (values == values[0]).all() else None


def _skipped_probe(scope: _Scope, probe_input: ProbeInput, reason: str) -> Probe:
    return Probe(
        name=probe_input.name,
        columns=probe_input.columns,
        kind=probe_input.kind,
        scope=scope.name,
        accuracy=unavailable(reason),
        chance=1 / len(scope.classes) if scope.folds else None,
        ceiling=None,
        classes=tuple(scope.classes),
        excluded_classes=tuple(scope.excluded_classes),
        recalls={},
        parts={},
    )


def _predictions(scope: _Scope, values: NDArray[Any], label: Numbers) -> Numbers:
    """Predict each test row from rows of other groups.

    Args:
        scope: The folds.
        values: Levels (integers) or measurements (float32), (n, c).
        label: Class numbers, (n,).

    Returns:
        Class numbers, (n,); -1 for rows that are in no test fold.
    """
    predicted = np.full(len(label), -1, np.intp)
    for train, test in scope.folds:
        if values.dtype == np.intp:
            predicted[test] = naive_bayes_predict(values[train], label[train], values[test])
        else:
            predicted[test] = lda_predict(values[train], label[train], values[test])
    return predicted


def _accuracies(
    scope: _Scope,
    label: Numbers,
    predicted: Mapping[int, Numbers],
    groups: NDArray[np.object_],
    replicates: int,
    seed: int,
) -> dict[int, Estimate]:
    """Return balanced accuracies, with intervals as in ``evaluation.scorecard.compute_metrics``.

    All inputs use the same bootstrap weights.

    Args:
        scope: The rows and classes; m rows are evaluated.
        label: Class numbers, (n,).
        predicted: Class numbers of each input, (n,).
        groups: The group of each evaluated row, (m,).
        replicates: Number of bootstrap replicates.
        seed: Seed of the bootstrap.
    """
    rows = scope.evaluated_rows  # (m,)
    k = len(scope.classes)
    true = label[rows]

    def statistics(weights: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        return {
            str(number): macro_metrics(true, prediction[rows], k, weights)["balanced_accuracy"]
            for number, prediction in predicted.items()
        }

    values = statistics(np.ones((rows.size, 1), np.int32))
    resampled = bootstrap.bootstrap(statistics, true, groups, replicates=replicates, seed=seed)
    estimates = {}
    for number, prediction in predicted.items():
        correct = prediction[rows] == true
        recalls = [intervals.proportion(correct[true == c], groups[true == c]) for c in range(k)]
        name = str(number)
        estimate = bootstrap.percentile_estimate(float(values[name][0]), resampled[name], rows.size)
        estimate = intervals.widen(estimate, *intervals.mover_interval(recalls))
        estimates[number] = (
            _widened_for_cross_validation(estimate) if len(scope.folds) > 1 else estimate
        )
    return estimates


def _widened_for_cross_validation(estimate: Estimate) -> Estimate:
    """Widen the interval of a cross-validated score by half.

    Folds train on each other's images, so their errors are not independent. An interval that
    assumes independence is above chance in 3 to 9 of 100 probes of pure noise (expected: 2.5). The
    widened interval is above chance in 0 to 2 (benchmarks/simulations.py). The factor is the square
    root of 1 + J n_test / n_train, with J = 5 folds.

    Source:
        Nadeau and Bengio (2003), doi:10.1023/A:1024068626366.
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    factor = np.sqrt(1 + FOLDS / (FOLDS - 1))
    low = max(0.0, estimate.value - factor * (estimate.value - estimate.low))
    high = min(1.0, estimate.value + factor * (estimate.high - estimate.value))
    return replace(estimate, low=float(low), high=float(high))


def _probe(
    scope: _Scope, probe_input: ProbeInput, label: Numbers, predicted: Numbers, estimate: Estimate
) -> Probe:
    rows = scope.evaluated_rows
    k = len(scope.classes)
    # A classifier can name at most as many classes as there are different values.
    ceiling = min(1.0, len(np.unique(probe_input.values[rows], axis=0)) / k)
    # The interval does not respect the ceiling. Folds that predict different classes may exceed it
    # slightly.
    limit = max(ceiling, estimate.value or 0.0)
    if estimate.high is not None:
        estimate = replace(estimate, high=min(estimate.high, limit))
    parts = {
        name: float(
            _recalls(label, _predictions(scope, probe_input.values[:, columns], label), k).mean()
        )
        for name, columns in probe_input.parts.items()
    }
    recalls = _recalls(label, predicted, k)
    return Probe(
        name=probe_input.name,
        columns=probe_input.columns,
        kind=probe_input.kind,
        scope=scope.name,
        accuracy=estimate,
        chance=1 / k,
        ceiling=ceiling,
        classes=tuple(scope.classes),
        excluded_classes=tuple(scope.excluded_classes),
        recalls=dict(zip(scope.classes, recalls.tolist(), strict=True)),
        parts=parts,
        terms=_typical_terms(scope, probe_input, label),
    )


def _typical_terms(
    scope: _Scope, probe_input: ProbeInput, label: Numbers
) -> dict[str, tuple[str, ...]]:
    """Return the terms whose mean TF-IDF in a class exceeds that of the other classes the most."""
    if not probe_input.terms:
        return {}
    rows = scope.evaluated_rows
    values, of_rows = probe_input.values[rows], label[rows]
    found = {}
    for c, name in enumerate(scope.classes):
        is_class = of_rows == c
        excess = values[is_class].mean(axis=0) - values[~is_class].mean(axis=0)  # (terms,)
        largest = np.argsort(-excess, kind="stable")[:_TERMS]
        found[name] = tuple(probe_input.terms[t] for t in largest if excess[t] > 0)
    return found


def _recalls(label: Numbers, predicted: Numbers, classes: int) -> NDArray[np.float64]:
    """Return the recall of each class, (classes,): correct images over images of the class."""
    evaluated = predicted >= 0
    correct = np.bincount(label[evaluated & (label == predicted)], minlength=classes)
    support = np.bincount(label[evaluated], minlength=classes)
    return np.asarray(correct / support, dtype=np.float64)
