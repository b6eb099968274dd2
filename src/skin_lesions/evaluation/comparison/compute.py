"""Computation of a comparison."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skin_lesions import __version__
from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.comparison.alignment import (
    AlignedTests,
    align_tests,
    common_classes,
    number_of_common_images,
    rows_of_test,
)
from skin_lesions.evaluation.comparison.model import (
    ClassDifference,
    ComparedRun,
    Comparison,
    Disagreement,
    MetricDifference,
    Verdict,
)
from skin_lesions.evaluation.scorecard import ConfusionMatrix, registry
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays, prediction_arrays
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.metrics import paired
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable
from skin_lesions.metrics.multiple_comparisons import holm_adjusted

SIGNIFICANT = 0.05  # largest adjusted p-value of a difference
# The metric that decides the verdict. It is fixed before the comparison.
PRIMARY = "balanced_accuracy"


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Both models on the same n images: two sets of arrays, and the merged group of each image."""

    baseline: PredictionArrays
    candidate: PredictionArrays
    group: np.ndarray[tuple[int], np.dtype[np.intp]]


_DIFFERENCES: dict[str, Callable[[_Pair], Estimate]] = {
    "balanced_accuracy": lambda pair: paired.balanced_accuracy_difference(
        pair.baseline.label, pair.baseline.predicted, pair.candidate.predicted, pair.group
    ),
    "accuracy": lambda pair: paired.accuracy_difference(
        pair.baseline.correct, pair.candidate.correct, pair.group
    ),
    "macro_f1": lambda pair: paired.macro_f1_difference(
        pair.baseline.label, pair.baseline.predicted, pair.candidate.predicted, pair.group
    ),
    "auroc_macro": lambda pair: paired.macro_auroc_difference(
        pair.baseline.label, pair.baseline.probability, pair.candidate.probability, pair.group
    ),
    "log_loss": lambda pair: paired.log_loss_difference(
        pair.baseline.label, pair.baseline.probability, pair.candidate.probability, pair.group
    ),
}
_LOWER_IS_BETTER = {"log_loss"}


def compare_predictions(
    baseline: PredictionTable,
    candidate: PredictionTable,
    *,
    sources: tuple[str, str],
    is_paired: bool,
    max_examples: int,
) -> Comparison:
    """Compare two models by their predictions of the test images.

    Args:
        baseline: Predictions of the baseline.
        candidate: Predictions of the candidate.
        sources: Names of the data roots or files of baseline and candidate.
        is_paired: Whether both must have the same test images. Otherwise the intervals are
            unpaired, also if the images are the same.
        max_examples: Maximum number of listed images with two different predictions.

    Raises:
        InputError: The classes differ, or the test images of a paired comparison differ.
    """
    classes = common_classes(baseline.frame, candidate.frame)
    rows = (rows_of_test(baseline.frame, "baseline"), rows_of_test(candidate.frame, "candidate"))
    common_images = number_of_common_images(*rows)
    aligned = align_tests(*rows) if is_paired else None
    if aligned is not None:
        rows = (aligned.baseline, aligned.candidate)
    arrays = (prediction_arrays(rows[0], classes), prediction_arrays(rows[1], classes))
    pair = None
    if aligned is not None:
        pair = _Pair(baseline=arrays[0], candidate=arrays[1], group=aligned.group)
    metrics = _metric_differences(*arrays, pair)
    return Comparison(
        paired=is_paired,
        classes=classes,
        baseline=_compared_run(baseline, sources[0], rows[0], arrays[0]),
        candidate=_compared_run(candidate, sources[1], rows[1], arrays[1]),
        common_images=common_images,
        metrics=metrics,
        mcnemar=None if pair is None else _mcnemar(pair),
        groups_test=None if pair is None else paired.sign_test_of_groups(_gain(pair), pair.group),
        per_class=_class_differences(*arrays, pair),
        disagreements=None if pair is None else _disagreements(pair),
        examples=_examples(aligned, max_examples) if aligned is not None else (),
        verdict=metrics[PRIMARY].verdict,
        package_version=__version__,
    )


def _mcnemar(pair: _Pair) -> paired.ExactTest:
    return paired.mcnemar_exact(pair.baseline.correct, pair.candidate.correct)


def _disagreements(pair: _Pair) -> int:
    return int((pair.baseline.predicted != pair.candidate.predicted).sum())


def _gain(pair: _Pair) -> paired.Floats:
    """Return 1 where only the candidate is right, -1 where only the baseline is, else 0, (n,)."""
    return pair.candidate.correct.astype(np.float64) - pair.baseline.correct


def _compared_run(
    table: PredictionTable, source: str, rows: pd.DataFrame, arrays: PredictionArrays
) -> ComparedRun:
    k = len(arrays.classes)
    counts = np.zeros((k, k), np.intp)
    np.add.at(counts, (arrays.label, arrays.predicted), 1)
    return ComparedRun(
        source=source,
        predictions_version=table.version,
        model_version=table.provenance.model_version,
        split_table_version=table.provenance.split_table_version,
        n=arrays.n,
        groups=int(np.unique(arrays.group).size),
        leaked=int(rows["is_leaked"].sum()),
        confusion=ConfusionMatrix(
            classes=arrays.classes, counts=tuple(map(tuple, counts.tolist()))
        ),
    )


def _metric_differences(
    baseline: PredictionArrays, candidate: PredictionArrays, pair: _Pair | None
) -> dict[str, MetricDifference]:
    metrics = {metric.key: metric for metric in registry.METRICS}
    evaluations = (_evaluation(baseline), _evaluation(candidate))
    found = {}
    for key, difference_of in _DIFFERENCES.items():
        values = [metrics[key].estimate(evaluation) for evaluation in evaluations]
        if pair is None:
            difference = paired.independent_difference(values[0], values[1])
        else:
            difference = difference_of(pair)
        higher_is_better = key not in _LOWER_IS_BETTER
        found[key] = MetricDifference(
            name=metrics[key].name,
            higher_is_better=higher_is_better,
            baseline=values[0],
            candidate=values[1],
            difference=difference,
            verdict=_verdict(difference, higher_is_better=higher_is_better),
        )
    return found


def _evaluation(rows: PredictionArrays) -> Evaluation:
    """Return the rows with the estimates of each class, which the means over classes require."""
    per_class = [
        {metric.key: metric.estimate(rows, c) for metric in registry.CLASS_METRICS}
        for c in range(len(rows.classes))
    ]
    return Evaluation(rows=rows, per_class=per_class)


def _verdict(difference: Estimate, *, higher_is_better: bool) -> Verdict:
    if difference.low is None or difference.high is None:
        return "unknown"
    if difference.low <= 0 <= difference.high:
        return "no_difference_shown"
    is_better = (difference.low > 0) == higher_is_better
    return "candidate_better" if is_better else "baseline_better"


def _class_differences(
    baseline: PredictionArrays, candidate: PredictionArrays, pair: _Pair | None
) -> dict[str, ClassDifference]:
    found = [_class_difference(baseline, candidate, pair, c) for c in range(len(candidate.classes))]
    tested = [entry.p_value for entry in found if entry.p_value is not None]
    adjusted = iter(holm_adjusted(tested).tolist())
    corrected = [
        entry if entry.p_value is None else _with_adjusted(entry, next(adjusted)) for entry in found
    ]
    return dict(zip(candidate.classes, corrected, strict=True))


def _with_adjusted(entry: ClassDifference, p_adjusted: float) -> ClassDifference:
    verdict: Verdict = "no_difference_shown"
    if p_adjusted <= SIGNIFICANT:
        verdict = "candidate_better" if (entry.difference.value or 0) > 0 else "baseline_better"
    return entry.model_copy(update={"p_adjusted": p_adjusted, "verdict": verdict})


def _class_difference(
    baseline: PredictionArrays, candidate: PredictionArrays, pair: _Pair | None, c: int
) -> ClassDifference:
    """Compare the recall of class number c; its p-value is not adjusted yet."""
    recalls = [_recall(baseline, c), _recall(candidate, c)]
    p_value = None
    if pair is None:
        difference = paired.independent_difference(recalls[0], recalls[1])
    else:
        labeled = pair.baseline.label == c
        correct = [arrays.correct[labeled] for arrays in (pair.baseline, pair.candidate)]
        difference = paired.accuracy_difference(correct[0], correct[1], pair.group[labeled])
        if labeled.any():
            gain = _gain(pair)[labeled]
            p_value = paired.sign_test_of_groups(gain, pair.group[labeled]).p_value
    return ClassDifference(
        support=(int(baseline.support[c]), int(candidate.support[c])),
        baseline=recalls[0],
        candidate=recalls[1],
        difference=difference,
        p_value=p_value,
        p_adjusted=None,
        verdict="unknown",
    )


def _recall(rows: PredictionArrays, c: int) -> Estimate:
    labeled = rows.label == c
    if not labeled.any():
        return unavailable("no images of this class")
    return proportion(rows.correct[labeled], rows.group[labeled])


def _examples(aligned: AlignedTests, max_examples: int) -> tuple[Disagreement, ...]:
    """Return images with two predictions, the largest changes of the label's probability first."""
    first, second = aligned.baseline, aligned.candidate
    differing = np.flatnonzero((first["predicted"] != second["predicted"]).to_numpy())
    # Column of the label of each image, and its probability by both models, (n,) each.
    columns = pd.Index([f"p_{label}" for label in first["label"]])
    index = np.arange(len(first))
    probability = [
        rows.to_numpy()[index, rows.columns.get_indexer(columns)].astype(np.float64)
        for rows in (first, second)
    ]
    change = abs(probability[1] - probability[0])[differing]
    selected = differing[np.argsort(-change, kind="stable")][:max_examples]
    return tuple(
        Disagreement(
            file=str(second["file"].iloc[i]),
            image_id=str(second["image_id"].iloc[i]),
            label=str(first["label"].iloc[i]),
            baseline=str(first["predicted"].iloc[i]),
            candidate=str(second["predicted"].iloc[i]),
            baseline_probability=float(probability[0][i]),
            candidate_probability=float(probability[1][i]),
        )
        for i in selected.tolist()
    )
