"""YAML front matter of the model card, which the Hugging Face Hub reads.

Source:
    https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

import yaml

from skin_lesions.evaluation.scorecard import Scorecard, registry
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.formatting import images_from

_TASK = "image-classification"


def front_matter(model: TrainedModel, metrics: Scorecard) -> str:
    """Return the front matter, without the lines that delimit it.

    ``license`` describes the model. The files do not record it, so it is ``other`` if the images
    have license notes, and ``unknown`` if not. Metrics that cannot be computed are left out.
    """
    origin = model.provenance.origin
    evaluation: dict[str, object] = {"split_policy": metrics.split_policy}
    if metrics.provenance.leaked_test_images:
        evaluation["leaked_test_images"] = metrics.provenance.leaked_test_images
    estimates = {metric: metrics.test[metric.key] for metric in registry.METRICS}
    results = {
        "task": {"type": _TASK, "name": "Image classification"},
        "dataset": {
            "type": origin.dataset or origin.kind,
            "name": images_from(origin),
            "split": "test",
            "args": evaluation,
        },
        "metrics": [
            {"type": metric.key, "name": metric.name, "value": estimate.value}
            for metric, estimate in estimates.items()
            if estimate.value is not None
        ],
    }
    content = {
        "license": "other" if origin.license_notes else "unknown",
        "library_name": "skin-lesions",
        "pipeline_tag": _TASK,
        "tags": [_TASK, "pytorch", "medical", "dermatology"],
        "model-index": [{"name": model.architecture, "results": [results]}],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
