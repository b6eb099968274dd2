"""Comparison of two models in words, for the comparison page and the report."""

from skin_lesions.config.report import Report
from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import StoredVersions
from skin_lesions.evaluation.comparison import Comparison, MetricDifference
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting.formatting import decimal

IN_POINTS = {"accuracy", "balanced_accuracy"}  # differences in percentage points


def selected_comparison(
    stored_comparisons: StoredVersions[Comparison], report: Report
) -> Comparison | None:
    """Return the comparison that ``report.comparison`` selects, or None.

    Raises:
        InputError: It does not exist or cannot be read.
    """
    if report.comparison is None:
        return None
    return stored_comparisons.select(report.comparison, "report.comparison")


def summary_sentences(comparison: Comparison) -> list[str]:
    """Return the result of a comparison in sentences, the verdict first.

    The names of classes and sources are not escaped.
    """
    balanced = comparison.metrics["balanced_accuracy"]
    sentences = [f"{_verdict(balanced)} {_balanced_accuracy_sentence(balanced)}"]
    if comparison.paired:
        sentences.append(_exact_tests(comparison))
        sentences.append(_class_sentence(comparison))
    else:
        sentences.append(_unpaired_sentence(comparison))
    leaked = max(comparison.baseline.leaked, comparison.candidate.leaked)
    if leaked:
        sentences.append(
            f"Up to {pluralize(leaked, 'test image')} have a duplicate or a same-group image in "
            "the original training or validation split. This makes the score of a model too high "
            "if it was trained with split.policy=original."
        )
    return sentences


def _verdict(difference: MetricDifference) -> str:
    return {
        "candidate_better": "The candidate is better.",
        "baseline_better": "The baseline is better.",
        "no_difference_shown": "No difference shown: the 95 % interval contains zero.",
        "unknown": f"The difference has no interval ({difference.difference.reason}).",
    }[difference.verdict]


def _balanced_accuracy_sentence(entry: MetricDifference) -> str:
    subject, key = "The balanced accuracy of the candidate", "balanced_accuracy"
    value = entry.difference.value
    if value is None:
        return f"{subject} cannot be compared with that of the baseline."
    text = format_interval(key, entry.difference)
    interval = f" (95 % interval of candidate minus baseline: {text})" if text else ""
    if value == 0:
        return f"{subject} is equal to that of the baseline{interval}."
    size = format_difference(key, abs(value)).removeprefix("+")
    direction = "above" if value > 0 else "below"
    return f"{subject} is {size} percentage points {direction} that of the baseline{interval}."


def format_difference(key: str, value: float) -> str:
    """Format a difference with its sign: in percentage points, or as a decimal number."""
    return f"{100 * value:+.1f}" if key in IN_POINTS else f"{value:+.3f}"


def format_interval(key: str, difference: Estimate) -> str:
    """Format the interval of a difference; an empty text without one."""
    if difference.low is None or difference.high is None:
        return ""
    return f"{format_difference(key, difference.low)} to {format_difference(key, difference.high)}"


def format_p_value(p_value: float) -> str:
    """Format a p-value, never rounded to 0."""
    return "< 0.001" if p_value < 0.001 else f"= {decimal(p_value)}"


def _exact_tests(comparison: Comparison) -> str:
    images, groups = comparison.mcnemar, comparison.groups_test
    if images is None or groups is None:
        return ""
    return (
        f"Only the candidate is right on {pluralize(images.better, 'image')}, only the baseline on "
        f"{images.worse:,} (exact test of McNemar: p {format_p_value(images.p_value)}; exact sign "
        f"test over groups of related images: p {format_p_value(groups.p_value)})."
    )


def _class_sentence(comparison: Comparison) -> str:
    tested = [entry for entry in comparison.per_class.values() if entry.p_adjusted is not None]
    correction = f"after Holm's correction for {pluralize(len(tested), 'class', 'classes')}"
    changed = [
        f"{name} ({format_difference('accuracy', entry.difference.value or 0.0)} points)"
        for name, entry in comparison.per_class.items()
        if entry.verdict in ("candidate_better", "baseline_better")
    ]
    if not changed:
        return f"No class shows a difference of recall {correction}."
    return f"The recall differs {correction} for: {', '.join(changed)}."


def _unpaired_sentence(comparison: Comparison) -> str:
    runs = (comparison.baseline, comparison.candidate)
    start = (
        f"The comparison is unpaired: the baseline has {runs[0].n:,} test images, the candidate "
        f"{runs[1].n:,}, and {comparison.common_images:,} are in both. "
    )
    if comparison.common_images == runs[0].n == runs[1].n:
        return start + "With compare.paired=true, the intervals would be narrower."
    return start + (
        "The two sets can differ in difficulty, so a difference is not only due to the models."
    )
