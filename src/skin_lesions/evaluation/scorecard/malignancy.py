"""Malignant against benign diagnoses: sensitivity, specificity and AUROC."""

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.metric import auroc_estimate
from skin_lesions.evaluation.scorecard.model import MalignancyMetrics
from skin_lesions.metrics.intervals import proportion, unavailable


def malignancy_metrics(rows: PredictionArrays) -> MalignancyMetrics:
    """Compute the metrics on the images with a known diagnosis."""
    malignancy = rows.malignancy
    label, predicted = malignancy.label, malignancy.predicted
    group = rows.group[malignancy.known]
    sensitivity = unavailable("no images of a malignant diagnosis")
    specificity = unavailable("no images of a benign diagnosis")
    auroc = unavailable("requires images of malignant and of benign diagnoses", label.size)
    if label.any():
        sensitivity = proportion(predicted[label], group[label])
    if not label.all():
        specificity = proportion(~predicted[~label], group[~label])
    if label.any() and not label.all():
        auroc = auroc_estimate(malignancy.score, label, predicted, group)
    return MalignancyMetrics(
        auroc=auroc,
        sensitivity=sensitivity,
        specificity=specificity,
        classes=malignancy.classes,
        excluded_classes=malignancy.excluded_classes,
    )
