"""What a metric is: its name in ``metrics.json`` and in reports, and how it is estimated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays
from skin_lesions.metrics import intervals
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate
from skin_lesions.metrics.linearization import auroc_and_influence, linearized_error

# Minimum number of images of a class for an interval of its average precision.
MIN_POSITIVES = FEW_IMAGES


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an overall metric is estimated from.

    Attributes:
        rows: The predictions.
        per_class: The estimates of each class by the key of the metric, in the order of the model.
    """

    rows: PredictionArrays
    per_class: Sequence[Mapping[str, Estimate]]

    def of_present_classes(self, class_metric: str) -> list[Estimate]:
        """Return the estimate of a class metric for each class that has images."""
        return [self.per_class[c][class_metric] for c in self.rows.present]


@dataclass(frozen=True, kw_only=True)
class MetricDescription:
    """How a metric appears in ``metrics.json`` and in reports.

    Attributes:
        key: Name in ``metrics.json``.
        name: Name in reports.
        format: Number format in reports.
        meaning: One or two sentences that explain the metric in reports.
        headline: Whether it is among the first results of a report.
    """

    key: str
    name: str
    format: Literal["percent", "decimal"]
    meaning: str
    headline: bool = False


@dataclass(frozen=True, kw_only=True)
class ClassMetric(MetricDescription):
    """A metric of one class.

    Attributes:
        estimate: Function of the predictions and the number of the class.
    """

    estimate: Callable[[PredictionArrays, int], Estimate]


@dataclass(frozen=True, kw_only=True)
class Metric(MetricDescription):
    """A metric of all predictions of a split.

    Attributes:
        estimate: Function that returns the value with its interval.
    """

    estimate: Callable[[Evaluation], Estimate]


def auroc_estimate(scores: Floats, positive: Bools, predicted: Bools, group: Numbers) -> Estimate:
    """Return an AUROC whose interval has a width above 0 even if the classes separate perfectly.

    The interval by linearization is united with that of Hanley and McNeil. Its effective numbers
    of positives and negatives account for the agreement of images of one group. They are computed
    from the predictions, as for the recall of each.

    Args:
        scores: Higher scores are more positive, (n,).
        positive: Whether the label of each row is positive, (n,).
        predicted: Whether each row is predicted as positive, (n,).
        group: The group of each row, (n,).
    """
    value, influence = auroc_and_influence(scores, positive)
    positives = intervals.effective_n(predicted[positive], group[positive])
    negatives = intervals.effective_n(predicted[~positive], group[~positive])
    linearized = linearized_error(influence, group).interval(value, "logit")
    return intervals.unite(
        value, positive.size, [linearized, intervals.hanley_mcneil(value, positives, negatives)]
    )


def average_precision_estimate(
    values: Floats, influences: Floats, smallest: int, group: Numbers
) -> Estimate:
    """Return the mean of average precisions, with an interval if no class is small.

    The average precision of few positive images is too high on average, so that an interval around
    it would often miss the true value (benchmarks/interval_coverage.py).

    Args:
        values: The average precision of each class, (classes,).
        influences: The influence of each image on each of them, (classes, n).
        smallest: Number of images of the smallest class.
        group: The group of each image, (n,).
    """
    value = float(values.mean())
    if smallest < MIN_POSITIVES:
        reason = f"no interval, because a class has fewer than {MIN_POSITIVES} images"
        return Estimate(value=value, low=None, high=None, n=group.size, reason=reason)
    error = linearized_error(influences.mean(axis=0), group)
    return intervals.unite(value, group.size, [error.interval(value, "logit")])
