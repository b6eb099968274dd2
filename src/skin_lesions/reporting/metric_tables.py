"""Tables of metrics: what the HTML report and the model card show of a scorecard.

Metrics and their order come from ``evaluation.scorecard.registry``.
"""

from typing import NamedTuple

from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.scorecard import Scorecard, SplitMetrics, registry
from skin_lesions.evaluation.scorecard.metric import MetricDescription
from skin_lesions.reporting.formatting import FormattedEstimate, format_estimate, format_range

_SENSITIVITY = MetricDescription(
    key="sensitivity",
    name="Sensitivity",
    format="percent",
    meaning="Fraction of malignant images that are predicted as malignant.",
)
_SPECIFICITY = MetricDescription(
    key="specificity",
    name="Specificity",
    format="percent",
    meaning="Fraction of benign images that are predicted as benign.",
)
_AUROC = MetricDescription(
    key="auroc",
    name="AUROC",
    format="decimal",
    meaning="Probability that a malignant image gets a higher malignancy score than a benign one.",
)


_PARTIAL_AUROC = MetricDescription(
    key="partial_auroc",
    name="Partial AUROC",
    format="decimal",
    meaning="Area of the ROC curve above a sensitivity of 80 %, 0 to 0.2. Chance gives 0.02.",
)
_ERROR_BY_CHANCE = MetricDescription(
    key="error_by_chance",
    name="Calibration error by chance",
    format="decimal",
    meaning="What a calibrated model would show on these images: median and 95 % range.",
)
_OVERCONFIDENCE = MetricDescription(
    key="overconfidence",
    name="Overconfidence",
    format="decimal",
    meaning="Mean confidence minus accuracy. Negative: underconfident.",
)


class ClassRow(NamedTuple):
    """Metrics of one class; ``estimates`` has the order of ``registry.CLASS_METRICS``."""

    label: str
    support: int
    correct: int
    estimates: list[FormattedEstimate]


def subsets(metrics: Scorecard) -> dict[str, SplitMetrics]:
    """Return the subsets that have metrics by their displayed name, in display order."""
    named = {
        "Test": metrics.test,
        "Test without leaked images": metrics.test_clean,
        "Leaked test images only": metrics.test_leaked,
        "Validation": metrics.validation,
    }
    return {name: subset for name, subset in named.items() if subset is not None}


def overall_rows(metrics: Scorecard) -> list[tuple[MetricDescription, list[FormattedEstimate]]]:
    """Return each metric, then the details of the calibration, for each of ``subsets``."""
    columns = subsets(metrics).values()
    of_metrics: list[tuple[MetricDescription, list[FormattedEstimate]]] = [
        (metric, [format_estimate(column[metric.key], metric.format) for column in columns])
        for metric in registry.METRICS
    ]
    by_chance = [format_range(c.calibration.error_by_chance, c.n) for c in columns]
    overconfidence = [format_estimate(c.calibration.overconfidence, "decimal") for c in columns]
    return [*of_metrics, (_ERROR_BY_CHANCE, by_chance), (_OVERCONFIDENCE, overconfidence)]


def class_rows(metrics: Scorecard) -> list[ClassRow]:
    """Return the metrics of each class on the test images."""
    return [
        ClassRow(
            label=label,
            support=row.support,
            correct=row.correct,
            estimates=[format_estimate(row[m.key], m.format) for m in registry.CLASS_METRICS],
        )
        for label, row in metrics.test.per_class.items()
    ]


def malignancy_rows(
    metrics: Scorecard, results: MalignancyResults
) -> list[tuple[MetricDescription, FormattedEstimate]]:
    """Return the metrics of malignant against benign test images.

    Returns:
        An empty list if no class is known to be malignant.
    """
    malignant = metrics.test.malignant
    if not malignant.classes:
        return []
    return [
        (_SENSITIVITY, format_estimate(malignant.sensitivity, _SENSITIVITY.format)),
        (_SPECIFICITY, format_estimate(malignant.specificity, _SPECIFICITY.format)),
        (_AUROC, format_estimate(results.test.auroc, _AUROC.format)),
        (_PARTIAL_AUROC, format_estimate(results.test.partial_auroc, _PARTIAL_AUROC.format)),
    ]
