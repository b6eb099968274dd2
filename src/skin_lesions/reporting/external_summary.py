"""Results on external images in words, for the report, the log and the model card."""

from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import NamedResults
from skin_lesions.evaluation.external import ComparedMetrics, ExternalResults
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.formatting import decimal, format_estimate, percent

_KINDS = {
    "image_id": "with equal bytes",
    "identical_pixels": "with equal pixels",
    "near_duplicate_simple": "re-encoded, flipped or resized",
    "near_duplicate_transformed": "cropped, rotated or changed in another way",
    "same_group": "in a group with one of these",
}


def results_of_model(
    stored: NamedResults[ExternalResults], model: TrainedModel
) -> tuple[list[ExternalResults], list[str]]:
    """Return the newest results of this model on each external set.

    Returns:
        The results, sorted by name, and the names of sets that only have results of other models.
    """
    found, others = [], []
    for name, versions in stored.by_name.items():
        for version in versions.versions:
            results = versions.load_version(version)
            if results.provenance.model_version == model.version:
                found.append(results)
                break
        else:
            others.append(name)
    return found, others


def deciding_metrics(results: ExternalResults) -> ComparedMetrics:
    """Return the metrics over the classes present, or over all outputs if all are present."""
    return results.present_classes or results.all_outputs


def summary_sentences(results: ExternalResults) -> list[str]:
    """Return the result on one external set in sentences. Names are not escaped."""
    return [
        headline_sentence(results),
        difference_sentence(results),
        overlap_sentence(results),
    ]


def headline_sentence(results: ExternalResults) -> str:
    """State the balanced accuracy, and over how many of the classes of the model it is."""
    counts, metrics = results.counts, deciding_metrics(results)
    balanced = format_estimate(metrics.external["balanced_accuracy"], "percent")
    return (
        f"On {pluralize(counts.evaluated, 'image')} in {pluralize(counts.groups, 'group')} of "
        f"{results.name}, the balanced accuracy is {balanced.inline}. It is over "
        f"{len(results.classes_present)} of the {len(results.classes)} classes of the model "
        f"({', '.join(results.classes_present)})."
    )


def difference_sentence(results: ExternalResults) -> str:
    """State the difference to the internal test images of the same classes."""
    metrics = deciding_metrics(results)
    difference = metrics.differences.get("balanced_accuracy")
    if metrics.internal is None or results.internal is None:
        return f"There is no comparison with internal test images: {results.no_internal}."
    inside = format_estimate(metrics.internal["balanced_accuracy"], "percent")
    start = (
        f"On {pluralize(results.internal.n, 'internal test image')} of the same classes it is "
        f"{inside.inline}."
    )
    if difference is None or difference.low is None or difference.high is None:
        return f"{start} The difference has no interval."
    return f"{start} {_verdict(difference)}"


def _verdict(difference: Estimate) -> str:
    low, high = difference.low or 0.0, difference.high or 0.0
    points = (
        f"external minus internal: {_points(difference.value or 0.0)} percentage points, 95 % "
        f"interval {_points(low)} to {_points(high)}"
    )
    if low > 0:
        return f"The external result is higher ({points})."
    if high < 0:
        return f"The external result is lower ({points})."
    return f"No difference is shown ({points})."


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def overlap_sentence(results: ExternalResults) -> str:
    """State how many images are left out, and what the overlap check could not find."""
    overlap = results.overlap
    found = sum(overlap.counts.values())
    if found:
        kinds = "; ".join(f"{count:,} {_KINDS[kind]}" for kind, count in overlap.counts.items())
        text = (
            f"{pluralize(found, 'external file')} overlap with training or validation images of "
            f"the model and are left out: {kinds}."
        )
    else:
        text = "No external image was found among the training and validation images of the model."
    if overlap.is_complete:
        return text
    missing = overlap.training_images - overlap.compared
    return (
        f"{text} {missing:,} of {overlap.training_images:,} training and validation images are not "
        "on this machine. Of these, only exact duplicates could be checked."
    )


def with_overlap_sentence(results: ExternalResults) -> str:
    """State the balanced accuracy with the overlapping images; empty without them."""
    values = results.overlap.with_overlap
    if values is None:
        return ""
    before = format_estimate(values["balanced_accuracy"], "percent")
    after = format_estimate(results.all_outputs.external["balanced_accuracy"], "percent")
    return (
        f"With the overlapping images, the balanced accuracy over all outputs would be "
        f"{before.inline} instead of {after.inline}."
    )


def temperature_sentence(results: ExternalResults) -> str:
    """State how far the temperature of the model is from the best one for these images."""
    check, metrics = results.temperature, results.all_outputs.external
    excess = metrics.calibration.overconfidence
    text = f"The temperature of the model is {decimal(check.of_model)}"
    if check.best.value is None:
        text += f"; {check.best.reason}"
    else:
        best = format_estimate(check.best, "decimal")
        text += f", and the one that fits these images best is {best.inline}, which is not used"
    value = excess.value or 0.0
    word = "above" if value >= 0 else "below"
    interval = format_estimate(excess, "percent").interval
    between = f" (confidence minus accuracy: {interval})" if interval else ""
    return (
        f"{text}. The mean confidence is {percent(abs(value))} {word} the accuracy{between}. The "
        "confidence is for the class frequencies of the training images."
    )
