"""Computation of the results of malignant against benign."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.diagnoses import MalignantClasses, malignant_classes
from skin_lesions.evaluation.malignancy.model import (
    DecisionPoint,
    MalignancySubset,
    OperatingPoint,
    PredictiveValues,
)
from skin_lesions.evaluation.scorecard.arrays import Bools, PredictionArrays, prediction_arrays
from skin_lesions.evaluation.scorecard.malignancy import malignancy_metrics
from skin_lesions.metrics.classification import Floats, Numbers
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable, unite
from skin_lesions.metrics.linearization import linearized_error, mean_influence
from skin_lesions.metrics.partial_auroc import partial_auroc_estimate
from skin_lesions.metrics.predictive_values import benefits, predictive_value
from skin_lesions.models.postprocessing.malignancy_thresholds import (
    MalignancyThreshold,
    MalignancyThresholds,
)
from skin_lesions.models.trained_model import TrainedModel

MIN_SENSITIVITY = 0.8  # of the partial AUROC, as in the ISIC 2024 challenge
_STEP = 0.01  # of the threshold probabilities of the decision curve


def reason_without_operating_points(
    thresholds: MalignancyThresholds | None, malignant: MalignantClasses
) -> str | None:
    """Return why the thresholds of a model cannot be used, or None if they can."""
    if thresholds is None:
        return (
            "the model has no thresholds, because its validation images were not of malignant and "
            "of benign diagnoses"
        )
    if (thresholds.malignant_classes, thresholds.excluded_classes) != (
        malignant.malignant,
        malignant.excluded,
    ):
        return (
            "the thresholds of the model were chosen for other malignant classes "
            f"({', '.join(thresholds.malignant_classes)}). "
            "Fix: kedro run --pipelines train,evaluate,report"
        )
    return None


def malignancy_of_rows(
    rows: pd.DataFrame, model: TrainedModel, evaluate: Evaluate
) -> MalignancySubset:
    """Compute the results of some predictions, at the thresholds of the model if they can be used.

    Args:
        rows: Rows of a table of predictions.
        model: The model that predicted them.
        evaluate: Malignant classes, prevalences and the end of the decision curve.
    """
    thresholds = model.postprocessing.malignancy_thresholds
    classes = malignant_classes(model.classes, evaluate.malignant_classes)
    reason = reason_without_operating_points(thresholds, classes)
    return malignancy_subset(
        prediction_arrays(rows, model.classes, evaluate.malignant_classes),
        thresholds=thresholds if reason is None else None,
        prevalences=evaluate.prevalences,
        max_threshold_probability=evaluate.max_threshold_probability,
    )


def malignancy_subset(
    rows: PredictionArrays,
    *,
    thresholds: MalignancyThresholds | None,
    prevalences: Sequence[float],
    max_threshold_probability: float,
) -> MalignancySubset:
    """Compute the results of a subset of the test images.

    Args:
        rows: The predictions.
        thresholds: The thresholds of the model; None leaves the operating points out.
        prevalences: Prevalences of the predictive values.
        max_threshold_probability: Right end of the decision curve.
    """
    malignancy = rows.malignancy
    score, label = malignancy.score, malignancy.label  # (images with a known diagnosis,)
    group = rows.group[malignancy.known]
    partial = unavailable("requires images of malignant and of benign diagnoses", label.size)
    if label.any() and not label.all():
        partial = partial_auroc_estimate(score, label, group, MIN_SENSITIVITY)
    steps = round(max_threshold_probability / _STEP)
    return MalignancySubset(
        n=label.size,
        groups=int(np.unique(group).size),
        malignant=int(label.sum()),
        benign=int((~label).sum()),
        auroc=malignancy_metrics(rows).auroc,
        partial_auroc=partial,
        operating_points=tuple(
            _operating_point(chosen, _images(thresholds), prevalences, score, label, group)
            for chosen in (thresholds.thresholds if thresholds else ())
        ),
        decision_curve=tuple(
            _decision_point(round(step * _STEP, 2), score, label, group)
            for step in range(1, steps + 1)
            if label.size
        ),
    )


def _images(thresholds: MalignancyThresholds | None) -> str:
    if thresholds is None:
        return ""
    return f"{thresholds.malignant:,} malignant and {thresholds.benign:,} benign validation images"


def _operating_point(
    chosen: MalignancyThreshold,
    images: str,
    prevalences: Sequence[float],
    score: Floats,
    label: Bools,
    group: Numbers,
) -> OperatingPoint:
    called = score >= chosen.threshold  # (n,)
    sensitivity = unavailable("no images of a malignant diagnosis")
    specificity = unavailable("no images of a benign diagnosis")
    if label.any():
        sensitivity = proportion(called[label], group[label])
    if not label.all():
        specificity = proportion(~called[~label], group[~label])
    return OperatingPoint(
        criterion=chosen.criterion,
        target=chosen.target,
        chosen_for=f"{chosen.criterion} of at least {100 * chosen.target:g} % on {images}",
        threshold=chosen.threshold,
        validation_sensitivity=chosen.sensitivity,
        validation_specificity=chosen.specificity,
        sensitivity=sensitivity,
        specificity=specificity,
        predictive_values=tuple(
            _predictive_values(called, label, group, prevalence) for prevalence in prevalences
        ),
    )


def _predictive_values(
    called: Bools, label: Bools, group: Numbers, prevalence: float
) -> PredictiveValues:
    if label.all() or not label.any():
        missing = unavailable("requires images of malignant and of benign diagnoses", label.size)
        return PredictiveValues(prevalence=prevalence, positive=missing, negative=missing)
    return PredictiveValues(
        prevalence=prevalence,
        positive=predictive_value(called, label, group, prevalence),
        negative=predictive_value(~called, ~label, group, 1 - prevalence),
    )


def _decision_point(
    threshold_probability: float, score: Floats, label: Bools, group: Numbers
) -> DecisionPoint:
    odds = threshold_probability / (1 - threshold_probability)
    model = benefits(score >= threshold_probability, label, threshold_probability)  # (n,)
    treat_all = benefits(np.ones_like(label), label, threshold_probability)

    def estimate(values: Floats, lowest: float, highest: float) -> Estimate:
        value = float(values.mean())
        interval = linearized_error(mean_influence(values), group).interval(value)
        return unite(value, label.size, [interval], lowest=lowest, highest=highest)

    return DecisionPoint(
        threshold_probability=threshold_probability,
        model=estimate(model, -odds, 1.0),
        treat_all=estimate(treat_all, -odds, 1.0),
        # A true positive that the model misses costs 1; a false positive that it avoids gains the
        # odds.
        model_minus_treat_all=estimate(model - treat_all, -1.0, odds),
    )
