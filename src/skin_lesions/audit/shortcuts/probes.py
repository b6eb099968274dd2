"""Train on each clue alone, judge on lesions and patients not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.audit.shortcuts.classifiers import lda_predict, naive_bayes_predict
from skin_lesions.audit.shortcuts.inputs import MIN_GROUPS, Kind, ProbeInput, probe_inputs
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.groups import add_groups
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.splits import has_label_conflict, stratified_group_split
from skin_lesions.metrics import bootstrap, intervals
from skin_lesions.metrics.classification import macro_metrics
from skin_lesions.metrics.intervals import Estimate, unavailable

FOLDS = 5
ALL = "all"

Numbers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well one clue alone tells the class.

    Attributes:
        name: What was looked at; for metadata the name of the column, or of several.
        columns: The metadata columns, if it is these.
        kind: Which kind of clue it is.
        scope: ``all``, ``within <source>`` or ``from <source> to <source>``.
        accuracy: Balanced accuracy on groups not trained on, with its 95 % interval.
        chance: One over the number of classes. It is exact: whoever guesses without regard to
            the label has recalls that sum to 1 in expectation, whatever the class sizes.
        best: The most that so many different values can reach; a yes or no among 14 classes
            can name two of them, so 2/14.
        classes: The classes told apart here.
        excluded_classes: Classes with too few groups.
        recalls: Share of each class that was named right.
        parts: Balanced accuracy of parts of the clue, such as the bytes of a file.
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

    def as_dict(self) -> dict[str, Any]:
        """Return what ``audit_findings.json`` holds of it."""
        return {
            "name": self.name,
            "columns": list(self.columns),
            "kind": self.kind,
            "scope": self.scope,
            "balanced_accuracy": self.accuracy.as_dict(),
            "chance": self.chance,
            "ceiling": self.ceiling,
            "classes": len(self.classes),
            "excluded_classes": list(self.excluded_classes),
            "parts": dict(self.parts),
        }


def probe_shortcuts(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    images: PixelArray,
    store: ObjectStore,
    *,
    sample: int,
    seed: int,
    replicates: int,
) -> list[Probe]:
    """Probe what tells the class without the lesion: on all images, in each source, across them.

    A column that is spread over the classes exactly evenly, as a stratified split is, comes out below
    chance: what the other folds have more of, this one has less of. It tells nothing.

    Cross-validated in five folds that tear no group, so that copies and further pictures of a
    lesion give nothing away. Images under two labels are left out, exact copies count once.
    Where there is one source but several kinds of image (labels.py: dermoscopy, photograph), each kind
    is probed by itself.

    Args:
        image_table: One row per readable file, with its metadata columns.
        image_groups: group_id and pixel_id of every such file.
        images: The decoded images.
        store: The raw images, for their headers.
        sample: At most so many images are looked at: as even over the classes as these allow,
            and of each class as many groups as possible.
        seed: Equal seeds and equal tables give equal probes, whatever the order of rows.
        replicates: Number of bootstrap replicates of each interval.

    Returns:
        The probes on all images, then those within each source, then across. Without two classes
        of five groups each, the former say so and the latter are left out.
    """
    table = add_groups(image_table, image_groups)
    table = table[~has_label_conflict(table)].sort_values("file").drop_duplicates("image_id")
    table = sampled(table.reset_index(drop=True), sample, seed)
    if table.empty:
        return []
    inputs = probe_inputs(table, images, store)
    probes: list[Probe] = []
    for scope in _scopes(table, seed):
        probes += _run_probe(scope, inputs, table, replicates, seed)
    return probes


def sampled(table: pd.DataFrame, sample: int, seed: int) -> pd.DataFrame:
    """Take the first image of each group, then the second, and so on, until a class has its share."""
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = table.iloc[order]
    turn = shuffled.groupby(["label", "group_id"]).cumcount()
    shuffled = shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    place = shuffled.groupby("label").cumcount()
    quota = _balanced_counts(table["label"].value_counts(), sample)
    return shuffled[place < shuffled["label"].map(quota)].sort_values("file", ignore_index=True)


def _balanced_counts(counts: pd.Series, total: int) -> dict[str, int]:
    """Share a total evenly; what small classes can't use goes to the larger ones."""
    shares: dict[str, int] = {}
    ascending = counts.sort_index().sort_values(kind="stable")
    for at, (label, n) in enumerate(ascending.items()):
        shares[str(label)] = min(int(n), total // (len(counts) - at))
        total -= shares[str(label)]
    return shares


@dataclass(frozen=True)
class _Scope:
    """Which rows are told apart: ``rounds`` of rows to train on and rows to judge."""

    name: str
    rounds: list[tuple[Numbers, Numbers]]
    classes: list[str]
    excluded_classes: list[str]

    @property
    def evaluated_rows(self) -> Numbers:
        return np.sort(np.concatenate([judged for _, judged in self.rounds]))


def _scopes(table: pd.DataFrame, seed: int) -> Iterator[_Scope]:
    yield _within(ALL, table, np.arange(len(table)), seed)
    source = _sources(table)
    names = sorted(set(source.dropna()))
    if len(names) < 2:
        return
    for name in names:
        scope = _within(f"within {name}", table, np.flatnonzero(source == name), seed)
        if scope.rounds:
            yield scope
    for one in names:
        for other in names:
            if one != other:
                yield from _across(table, source, one, other)


def _sources(table: pd.DataFrame) -> pd.Series:
    """Return the source of each row; where there is one only, the kind of image its label has."""
    if table["source"].nunique() > 1:
        return table["source"]
    diagnoses = {label: diagnosis_of(label) for label in table["label"].unique()}
    return table["label"].map({name: d.image_kind for name, d in diagnoses.items() if d})


def _within(name: str, table: pd.DataFrame, rows: Numbers, seed: int) -> _Scope:
    classes, excluded_classes = _large_enough(table.iloc[rows])
    if len(classes) < 2:
        return _Scope(name, [], classes, excluded_classes)
    kept = rows[table["label"].iloc[rows].isin(classes)]
    shares = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    fold = stratified_group_split(table.iloc[kept], shares, seed).to_numpy()
    rounds = [(kept[fold != one], kept[fold == one]) for one in np.unique(fold)]
    return _Scope(name, rounds, classes, excluded_classes)


def _across(table: pd.DataFrame, source: pd.Series, one: str, other: str) -> Iterator[_Scope]:
    """Train on one source, judge on the groups of another that the first doesn't show."""
    learned = table[source == one]
    judged = table[(source == other) & ~table["group_id"].isin(learned["group_id"])]
    shared = set(_large_enough(learned)[0]) & set(_large_enough(judged)[0])
    if len(shared) < 2:
        return
    rows = [np.asarray(t.index[t["label"].isin(shared)], np.intp) for t in (learned, judged)]
    excluded_classes = (set(learned["label"]) | set(judged["label"])) - shared
    yield _Scope(
        f"from {one} to {other}", [(rows[0], rows[1])], sorted(shared), sorted(excluded_classes)
    )


def _large_enough(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the classes with enough groups to learn from and to judge, and the others."""
    groups = table.groupby("label")["group_id"].nunique()
    enough = groups >= MIN_GROUPS
    return groups.index[enough].tolist(), groups.index[~enough].tolist()


def _run_probe(
    scope: _Scope, inputs: Sequence[ProbeInput], table: pd.DataFrame, replicates: int, seed: int
) -> Iterator[Probe]:
    label = pd.Index(scope.classes).get_indexer(pd.Index(table["label"]))
    predicted = {}
    for number, probe_input in enumerate(inputs):
        reason = _why_not(scope, probe_input)
        if reason is None:
            predicted[number] = _predictions(scope, probe_input.values, label)
        elif scope.name == ALL:
            yield _skipped_probe(scope, probe_input, reason)
    if predicted:
        groups = table["group_id"].to_numpy()[scope.evaluated_rows]
        estimates = _accuracies(scope, label, predicted, groups, replicates, seed)
        for number, estimate in estimates.items():
            yield _probe(scope, inputs[number], label, predicted[number], estimate)


def _why_not(scope: _Scope, probe_input: ProbeInput) -> str | None:
    if probe_input.reason is not None:
        return probe_input.reason
    if not scope.rounds:
        return f"not enough images: it takes two classes with {MIN_GROUPS} groups each"
    values = probe_input.values[scope.evaluated_rows]
    return "all images are alike in this" if (values == values[0]).all() else None


def _skipped_probe(scope: _Scope, probe_input: ProbeInput, reason: str) -> Probe:
    return Probe(
        name=probe_input.name,
        columns=probe_input.columns,
        kind=probe_input.kind,
        scope=scope.name,
        accuracy=unavailable(reason),
        chance=1 / len(scope.classes) if scope.rounds else None,
        ceiling=None,
        classes=tuple(scope.classes),
        excluded_classes=tuple(scope.excluded_classes),
        recalls={},
        parts={},
    )


def _predictions(scope: _Scope, values: NDArray[Any], label: Numbers) -> Numbers:
    """Predict each judged row from rows of other groups; -1 where a row isn't judged."""
    classify = naive_bayes_predict if values.dtype == np.intp else lda_predict
    predicted = np.full(len(label), -1, np.intp)
    for learned, judged in scope.rounds:
        predicted[judged] = classify(values[learned], label[learned], values[judged])
    return predicted


def _accuracies(
    scope: _Scope,
    label: Numbers,
    predicted: Mapping[int, Numbers],
    groups: NDArray[np.object_],
    replicates: int,
    seed: int,
) -> dict[int, Estimate]:
    """Return balanced accuracies, their intervals made as those of ``metrics.score``.

    One set of bootstrap weights serves all clues.
    """
    rows, k = scope.evaluated_rows, len(scope.classes)
    true = label[rows]

    def statistics(weights: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
        return {
            str(number): macro_metrics(true, called[rows], k, weights)["balanced_accuracy"]
            for number, called in predicted.items()
        }

    values = statistics(np.ones((rows.size, 1), np.int32))
    drawn = bootstrap.bootstrap(statistics, true, groups, replicates=replicates, seed=seed)
    estimates = {}
    for number, called in predicted.items():
        right = called[rows] == true
        recalls = [intervals.proportion(right[true == c], groups[true == c]) for c in range(k)]
        name = str(number)
        estimate = bootstrap.percentile_estimate(float(values[name][0]), drawn[name], rows.size)
        estimate = intervals.widen(estimate, *intervals.mover_interval(recalls))
        estimates[number] = _corrected(estimate) if len(scope.rounds) > 1 else estimate
    return estimates


def _corrected(estimate: Estimate) -> Estimate:
    """Widen the interval of a cross-validated number by half.

    Folds train on each other's images, so their errors are not independent, and an interval that
    takes them for it lay above chance in 4 to 13 of 100 probes of pure noise (2.5 should); widened,
    it does in 0 to 3. The factor is the square root of 1 + J n_test / n_train, J being 5 folds.

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
    rows, k = scope.evaluated_rows, len(scope.classes)
    best = min(1.0, len(np.unique(probe_input.values[rows], axis=0)) / k)
    # An interval knows nothing of this limit; folds that name different classes may pass it a little.
    ceiling = max(best, estimate.value or 0.0)
    if estimate.high is not None:
        estimate = replace(estimate, high=min(estimate.high, ceiling))
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
        ceiling=best,
        classes=tuple(scope.classes),
        excluded_classes=tuple(scope.excluded_classes),
        recalls=dict(zip(scope.classes, recalls.tolist(), strict=True)),
        parts=parts,
    )


def _recalls(label: Numbers, predicted: Numbers, classes: int) -> NDArray[np.float64]:
    judged = predicted >= 0
    right = np.bincount(label[judged & (label == predicted)], minlength=classes)
    return np.asarray(right / np.bincount(label[judged], minlength=classes), dtype=np.float64)
