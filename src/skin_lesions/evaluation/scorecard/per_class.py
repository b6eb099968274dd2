"""Metrics of one class: recall, precision, F1 and one-vs-rest AUROC."""

import numpy as np

from skin_lesions.evaluation.scorecard.arrays import PredictionArrays
from skin_lesions.evaluation.scorecard.metric import (
    ClassMetric,
    auroc_estimate,
    average_precision_estimate,
)
from skin_lesions.metrics.intervals import Estimate, f1_estimate, proportion, unavailable
from skin_lesions.metrics.linearization import average_precision_and_influence


def _recall(rows: PredictionArrays, c: int) -> Estimate:
    labeled = rows.label == c
    if not labeled.any():
        return unavailable("no images of this class")
    return proportion((rows.predicted == c)[labeled], rows.group[labeled])


def _precision(rows: PredictionArrays, c: int) -> Estimate:
    predicted = rows.predicted == c
    if not predicted.any():
        return unavailable("no image was predicted as this class")
    return proportion((rows.label == c)[predicted], rows.group[predicted])


def _f1(rows: PredictionArrays, c: int) -> Estimate:
    return f1_estimate(rows.label == c, rows.predicted == c, rows.group)


def _auroc(rows: PredictionArrays, c: int) -> Estimate:
    labeled = rows.label == c
    if not labeled.any():
        return unavailable("no images of this class")
    if labeled.all():
        return unavailable("all images are of this class", rows.n)
    return auroc_estimate(rows.probability[:, c], labeled, rows.predicted == c, rows.group)


def _average_precision(rows: PredictionArrays, c: int) -> Estimate:
    labeled = rows.label == c
    if not labeled.any():
        return unavailable("no images of this class")
    if labeled.all():
        return unavailable("all images are of this class", rows.n)
    value, influence = average_precision_and_influence(rows.probability[:, c], labeled)
    positives = int(rows.support[c])
    return average_precision_estimate(np.array([value]), influence[None], positives, rows.group)


RECALL = ClassMetric(
    key="recall",
    name="Recall",
    format="percent",
    meaning="Fraction of the images of this class that are predicted as this class.",
    estimate=_recall,
)
PRECISION = ClassMetric(
    key="precision",
    name="Precision",
    format="percent",
    meaning="Fraction of the images predicted as this class that belong to it.",
    estimate=_precision,
)
F1 = ClassMetric(
    key="f1",
    name="F1",
    format="decimal",
    meaning="Harmonic mean of recall and precision.",
    estimate=_f1,
)
AUROC = ClassMetric(
    key="auroc",
    name="AUROC",
    format="decimal",
    meaning="One class against all others.",
    estimate=_auroc,
)
AVERAGE_PRECISION = ClassMetric(
    key="average_precision",
    name="Average precision",
    format="decimal",
    meaning="Mean precision over all thresholds of the probability of the class.",
    estimate=_average_precision,
)
