"""Results of lesion localization in words, for the report, the figures and the model card."""

from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import StoredVersions
from skin_lesions.evaluation.localization import LocalizationResults, Method
from skin_lesions.evaluation.localization.lesion_dependence_model import LesionDependence
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.formatting import format_estimate

METHOD_NAMES: dict[Method, str] = {
    "dense": "trained network",
    "cam": "class activation map",
    "mean_box": "fixed box",
    "whole_image": "complete image",
}


def results_of_model(
    stored: StoredVersions[LocalizationResults], model: TrainedModel
) -> tuple[list[LocalizationResults], int]:
    """Return the newest results of this model on each set of images.

    Returns:
        The results, the newest first, and the number of versions of other models.
    """
    newest: dict[str, LocalizationResults] = {}
    others = 0
    for version in stored.versions:
        results = stored.load_version(version)
        if results.provenance.model_version == model.version:
            newest.setdefault(results.provenance.images, results)
        else:
            others += 1
    return list(newest.values()), others


def findings_of_model(
    stored: StoredVersions[LocalizationResults], model: TrainedModel
) -> list[Finding]:
    """Return what the annotated images reveal about the classifier."""
    found, _ = results_of_model(stored, model)
    return [
        Finding.model_validate(finding.model_dump())
        for results in found
        if results.lesion_dependence is not None
        for finding in results.lesion_dependence.findings
    ]


def summary_sentence(results: LocalizationResults) -> str:
    """State the mean IoU of the trained method, and whether it is better than a fixed box."""
    name = METHOD_NAMES[results.trained]
    scores = results.methods.get(results.trained)
    if scores is None or scores.iou.value is None:
        return f"The {name} was not evaluated."
    iou = format_estimate(scores.iou, "decimal").inline
    text = f"The {name} has a mean IoU of {iou} on {pluralize(scores.images, 'image')} in "
    text += pluralize(scores.groups, "group")
    if results.trained in ("mean_box", "whole_image") or results.verdict == "unknown":
        return f"{text}."
    gain = format_estimate(results.gain, "decimal").inline
    return f"{text}: {results.conclusion} (gain {gain})."


def test_sentence(results: LocalizationResults) -> str:
    """State how the images were divided, and how many annotations were used."""
    made = results.provenance
    divided = (
        "The localizer was fitted on train and val, and tested on test."
        if made.folds is None
        else f"The test is a cross-validation with {made.folds} folds by groups."
    )
    unusable = pluralize(made.unusable_annotations, "annotation")
    return (
        f"{divided} {pluralize(made.annotated_images, 'image')} are annotated, and {unusable} "
        "could not be used."
    )


def attention_sentence(found: LesionDependence) -> str:
    """State how much of the Grad-CAM maps is inside of the lesion; empty without maps."""
    attention = found.attention
    if attention is None:
        return ""
    inside = format_estimate(attention.inside, "percent").inline
    area = format_estimate(attention.area, "percent").inline
    return (
        f"{inside} of the Grad-CAM maps of the predicted classes is inside of the lesion, which "
        f"covers {area} of the area."
    )
