"""What a metric is: its name in ``metrics.json`` and in reports, and how it is estimated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays, Resample
from skin_lesions.metrics import bootstrap, intervals
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.metrics.intervals import Estimate


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Statistics by name: of the rows, last axis of length 1, and of their replicates."""

    values: Mapping[str, Floats]
    replicates: Mapping[str, Floats]

    def percentile(self, name: str, n: int) -> Estimate:
        """Return a statistic with its percentile interval."""
        return bootstrap.percentile_estimate(float(self.values[name][0]), self.replicates[name], n)

    def reflected(self, name: str, n: int) -> Estimate:
        """Return a statistic that chance biases upwards, with its reflected interval."""
        return bootstrap.reflected_estimate(float(self.values[name][0]), self.replicates[name], n)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an overall metric is estimated from.

    Attributes:
        rows: The predictions.
        bootstrap: The statistics of all metrics.
        per_class: The estimates of each class by the key of the metric, in the order of the model.
    """

    rows: PredictionArrays
    bootstrap: Bootstrap
    per_class: Sequence[Mapping[str, Estimate]]

    def class_mean(self, name: str, class_metric: str) -> Estimate:
        """Return a mean over the present classes, with an interval that is valid for small classes.

        The bootstrap interval is widened with the intervals of the classes; see ``metrics``.
        """
        estimates = [self.per_class[c][class_metric] for c in self.rows.present]
        low, high = intervals.mover_interval(estimates)
        return intervals.widen(self.bootstrap.percentile(name, self.rows.n), low, high)


@dataclass(frozen=True, kw_only=True)
class MetricDescription:
    """How a metric appears in ``metrics.json`` and in reports.

    Attributes:
        key: Name in ``metrics.json``.
        name: Name in reports.
        format: Number format in reports.
        meaning: One or two sentences that explain the metric in reports.
    """

    key: str
    name: str
    format: Literal["percent", "decimal"]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class ClassMetric(MetricDescription):
    """A metric of one class.

    Attributes:
        estimate: Function of the predictions, the number of the class and the bootstrap.
    """

    estimate: Callable[[PredictionArrays, int, Bootstrap], Estimate]


@dataclass(frozen=True, kw_only=True)
class Metric(MetricDescription):
    """A metric of all predictions of a split.

    Attributes:
        headline: Whether it is among the first results of a report.
        statistic: Function that the bootstrap repeats: the metric of each replicate, (b,), or None
            if it is undefined for these rows. None: the metric needs no bootstrap.
        estimate: Function that returns the value with its interval.
    """

    headline: bool = False
    statistic: Callable[[Resample], Floats | None] | None = None
    estimate: Callable[[Evaluation], Estimate]


def auroc_estimate(
    value: float, replicates: Floats, positive: Bools, predicted: Bools, group: Numbers
) -> Estimate:
    """Return an AUROC whose interval has a width above 0 even if the classes separate perfectly.

    The effective numbers of positives and negatives account for the agreement of images of one
    group. They are computed from the predictions, as for the recall of each.

    Args:
        value: The AUROC.
        replicates: The AUROC of each bootstrap replicate.
        positive: Whether the label of each row is positive, (n,).
        predicted: Whether each row is predicted as positive, (n,).
        group: The group of each row, (n,).
    """
    estimate = bootstrap.percentile_estimate(value, replicates, positive.size)
    positives = intervals.effective_n(predicted[positive], group[positive])
    negatives = intervals.effective_n(predicted[~positive], group[~positive])
    low, high = intervals.hanley_mcneil(value, positives, negatives)
    return intervals.widen(estimate, low, high)
