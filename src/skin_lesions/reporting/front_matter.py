"""YAML front matter of the model card, which the Hugging Face Hub reads.

Source:
    https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

import yaml

from skin_lesions.evaluation.scorecard import Scorecard, registry
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.formatting import images_from

_DELIMITER = "---\n"
_VERSION = "model_version"  # not a key of the Hub
_TASK = "image-classification"
_TAGS = [_TASK, "pytorch", "medical", "dermatology"]
# Names of metrics in the documentation of the Hub. Other metrics keep their key.
_HUB_METRICS = {
    "macro_f1": "f1",
    "auroc_macro": "roc_auc",
    "brier": "brier_score",
    "expected_calibration_error": "ece",
}


def front_matter(model: TrainedModel, metrics: Scorecard) -> str:
    """Return the front matter, without the lines that delimit it.

    ``datasets`` lists a data set with a public name only; local folders and synthetic images have
    none. Metrics that cannot be computed are left out.
    """
    origin = model.provenance.origin
    evaluation: dict[str, object] = {"split_policy": metrics.split_policy}
    if metrics.provenance.leaked_test_images:
        evaluation["leaked_test_images"] = metrics.provenance.leaked_test_images
    estimates = metrics.test.estimates
    known = [metric for metric in registry.METRICS if estimates[metric.key].value is not None]
    results = {
        "task": {"type": _TASK, "name": "Image classification"},
        "dataset": {
            "type": origin.dataset or origin.kind,
            "name": images_from(origin),
            "split": "test",
            "args": evaluation,
        },
        "metrics": [
            {"type": metric.key, "name": metric.name, "value": estimates[metric.key].value}
            for metric in known
        ],
    }
    content: dict[str, object] = {"license": license_name(model)}
    if origin.license_notes:
        content["license_name"] = "depends-on-images-and-weights"
    content |= {
        "library_name": "skin-lesions",
        "pipeline_tag": _TASK,
        "tags": [*_TAGS, "synthetic"] if origin.is_synthetic else _TAGS,
    }
    if origin.dataset:
        content["datasets"] = [origin.dataset]
    content["metrics"] = [_HUB_METRICS.get(metric.key, metric.key) for metric in known]
    content[_VERSION] = metrics.provenance.model_version
    content["model-index"] = [{"name": model.architecture, "results": [results]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def license_name(model: TrainedModel) -> str:
    """Return the license of a model, as the Hub names it.

    The files do not record it, so it is ``other`` if the images have license notes, and ``unknown``
    if not.
    """
    return "other" if model.provenance.origin.license_notes else "unknown"


def card_versions(card: str) -> dict[str, str]:
    """Return the version of the model that a card describes, by the name of the data set.

    The author may have changed the card. Without a valid front matter, the version is unknown.
    """
    start, _, text = card.partition(_DELIMITER)
    try:
        content = None if start else yaml.safe_load(text.partition(_DELIMITER)[0])
    except yaml.YAMLError:
        content = None
    version = content.get(_VERSION) if isinstance(content, dict) else None
    return {"model": str(version or "(unknown)")}
