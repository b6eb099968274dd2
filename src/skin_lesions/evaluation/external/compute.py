"""Computation of the results on external images. Everything of the model is applied, not fitted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.diagnoses import malignant_classes
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.provenance import ExternalMetricsProvenance
from skin_lesions.evaluation.external.internal_test import InternalPredictions
from skin_lesions.evaluation.external.model import (
    ComparedMalignancy,
    ComparedMetrics,
    ComparedUncertainty,
    ComparedUnknown,
    ExternalResults,
    ImageCounts,
    InternalTest,
    MappedLabel,
    OverlapSummary,
    PointDifference,
)
from skin_lesions.evaluation.external.present_classes import restrict_to_classes
from skin_lesions.evaluation.external.temperature import check_temperature
from skin_lesions.evaluation.malignancy import malignancy_of_rows, reason_without_operating_points
from skin_lesions.evaluation.scorecard import SplitMetrics, compute_metrics, registry
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.evaluation.slices.compute import divide_into_slices
from skin_lesions.evaluation.uncertainty import UncertaintyMetrics, uncertainty_metrics
from skin_lesions.metrics.intervals import Estimate, proportion
from skin_lesions.metrics.paired import independent_difference
from skin_lesions.models.trained_model import TrainedModel

# Metrics of the results that include the overlap, which show how much it would change them.
_WITH_OVERLAP = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro")
_NO_INTERNAL = (
    "this data root has no predictions of the internal test images with this model. "
    "Fix: kedro run --pipelines evaluate, then external again"
)


@dataclass(frozen=True, kw_only=True)
class ExternalInputs:
    """What the results on external images are computed from.

    Attributes:
        predictions: All predicted external images, also those that overlap with the training.
        image_table: The table of external images, for subgroups.
        model: The model.
        internal: Predictions of internal test images; None without them.
        counts: Number of files of each fate.
        labels: The labels and their classes.
        overlap: The overlap, without metrics.
        evaluate: Parameters of the evaluation.
    """

    predictions: pd.DataFrame
    image_table: pd.DataFrame
    model: TrainedModel
    internal: InternalPredictions | None
    counts: ImageCounts
    labels: tuple[MappedLabel, ...]
    overlap: OverlapSummary
    evaluate: Evaluate


def compute_external_results(
    inputs: ExternalInputs, name: str, provenance: ExternalMetricsProvenance
) -> ExternalResults:
    """Compute the results of a model on external images, beside those on internal test images.

    The internal test images are those of the classes that external images have. Both sets are
    different images, so that the differences have unpaired intervals.

    Args:
        inputs: Predictions, tables and model.
        name: Name of the external set.
        provenance: Recorded in the result.
    """
    model, evaluate = inputs.model, inputs.evaluate
    external = inputs.predictions[~inputs.predictions["is_leaked"]]
    present = [label for label in model.classes if label in set(external["label"])]
    internal, of_internal = _internal_of_classes(inputs, present)
    some_classes = 1 < len(present) < len(model.classes)
    decision = model.postprocessing.frequencies.decision
    restricted = None
    if some_classes:
        restricted = _compare_metrics(
            restrict_to_classes(external, present, decision),
            None if internal is None else restrict_to_classes(internal, present, decision),
            inputs,
            present,
        )
    rows = prediction_arrays(external, model.classes, evaluate.malignant_classes)
    fitted = model.postprocessing
    return ExternalResults(
        name=name,
        provenance=provenance,
        classes=model.classes,
        classes_present=tuple(present),
        counts=inputs.counts,
        labels=inputs.labels,
        overlap=inputs.overlap.model_copy(update={"with_overlap": _with_overlap(inputs)}),
        internal=of_internal,
        no_internal=None if of_internal else _reason_without_internal(inputs),
        all_outputs=_compare_metrics(external, internal, inputs, model.classes),
        present_classes=restricted,
        malignancy=_compare_malignancy(external, internal, inputs),
        uncertainty=_compare_uncertainty(external, internal, model),
        unknown=_compare_unknown(external, internal, present),
        temperature=check_temperature(
            rows, fitted.calibration.temperature, fitted.frequencies.log_ratio_to_training
        ),
        slices=divide_into_slices(
            rows, rows_of_images(external, inputs.image_table), evaluate.slices
        ),
    )


def _internal_of_classes(
    inputs: ExternalInputs, present: Sequence[str]
) -> tuple[pd.DataFrame | None, InternalTest | None]:
    """Return the internal test images of some classes, and their numbers."""
    if inputs.internal is None:
        return None, None
    rows = inputs.internal.rows[inputs.internal.rows["label"].isin(present)]
    if rows.empty:
        return None, None
    return rows, InternalTest(
        n=len(rows),
        groups=int(rows["group_id"].nunique()),
        left_out=len(inputs.internal.rows) - len(rows),
        common_images=len(set(rows["image_id"]) & set(inputs.predictions["image_id"])),
    )


def _reason_without_internal(inputs: ExternalInputs) -> str:
    if inputs.internal is None:
        return _NO_INTERNAL
    return "no internal test image has a class of the external images"


def _compare_metrics(
    external: pd.DataFrame,
    internal: pd.DataFrame | None,
    inputs: ExternalInputs,
    classes: Sequence[str],
) -> ComparedMetrics:
    of_external = _metrics(external, inputs, classes)
    if internal is None:
        return ComparedMetrics(external=of_external, internal=None, differences={})
    of_internal = _metrics(internal, inputs, classes)
    differences = {
        metric.key: independent_difference(of_internal[metric.key], of_external[metric.key])
        for metric in registry.METRICS
        if of_external[metric.key].low is not None and of_internal[metric.key].low is not None
    }
    return ComparedMetrics(external=of_external, internal=of_internal, differences=differences)


def _metrics(rows: pd.DataFrame, inputs: ExternalInputs, classes: Sequence[str]) -> SplitMetrics:
    """Compute the metrics of some rows; ``classes`` are those that they have probabilities of."""
    fitted, given = inputs.model.postprocessing, inputs.evaluate.malignant_classes
    known = malignant_classes(inputs.model.classes, given).malignant
    log_prior = fitted.frequencies.log_ratio_to_training  # (classes of the model,)
    selected = np.isin(inputs.model.classes, classes)
    return compute_metrics(
        rows,
        classes,
        inputs.evaluate.seed,
        # With a list, all other classes are benign; without one, some can be unclear.
        malignant_classes=None if given is None else [name for name in known if name in classes],
        temperature=fitted.calibration.temperature,
        log_prior=log_prior[selected],
    )


def _with_overlap(inputs: ExternalInputs) -> dict[str, Estimate] | None:
    """Return metrics over all outputs that include the overlapping images, or None without any."""
    if not inputs.predictions["is_leaked"].any():
        return None
    rows = prediction_arrays(inputs.predictions, inputs.model.classes)
    per_class = [
        {metric.key: metric.estimate(rows, c) for metric in registry.CLASS_METRICS}
        for c in range(len(rows.classes))
    ]
    evaluation = Evaluation(rows=rows, per_class=per_class)
    return {
        metric.key: metric.estimate(evaluation)
        for metric in registry.METRICS
        if metric.key in _WITH_OVERLAP
    }


def _compare_malignancy(
    external: pd.DataFrame, internal: pd.DataFrame | None, inputs: ExternalInputs
) -> ComparedMalignancy:
    model, evaluate = inputs.model, inputs.evaluate
    classes = malignant_classes(model.classes, evaluate.malignant_classes)
    of_external = malignancy_of_rows(external, model, evaluate)
    of_internal = None if internal is None else malignancy_of_rows(internal, model, evaluate)
    differences: tuple[PointDifference, ...] = ()
    if of_internal is not None:
        pairs = zip(of_internal.operating_points, of_external.operating_points, strict=True)
        differences = tuple(
            PointDifference(
                criterion=inside.criterion,
                target=inside.target,
                sensitivity=independent_difference(inside.sensitivity, outside.sensitivity),
                specificity=independent_difference(inside.specificity, outside.specificity),
            )
            for inside, outside in pairs
        )
    return ComparedMalignancy(
        malignant_classes=classes.malignant,
        excluded_classes=classes.excluded,
        no_operating_points=reason_without_operating_points(
            model.postprocessing.malignancy_thresholds, classes
        ),
        external=of_external,
        internal=of_internal,
        auroc_difference=_difference(
            None if of_internal is None else of_internal.auroc, of_external.auroc
        ),
        point_differences=differences,
    )


def _compare_uncertainty(
    external: pd.DataFrame, internal: pd.DataFrame | None, model: TrainedModel
) -> ComparedUncertainty:
    fitted = model.postprocessing

    def results_of(rows: pd.DataFrame) -> UncertaintyMetrics:
        return uncertainty_metrics(rows, model.classes, fitted.conformal.coverage, fitted.referral)

    of_external = results_of(external)
    of_internal = None if internal is None else results_of(internal)
    referred = coverage = None
    if of_internal is not None:
        referred = _difference(
            of_internal.selective.referral.referred, of_external.selective.referral.referred
        )
        coverage = _difference(
            of_internal.conformal.overall.coverage, of_external.conformal.overall.coverage
        )
    return ComparedUncertainty(
        external=of_external,
        internal=of_internal,
        referred_difference=referred,
        coverage_difference=coverage,
    )


def _compare_unknown(
    external: pd.DataFrame, internal: pd.DataFrame | None, present: Sequence[str]
) -> ComparedUnknown:
    of_external = _flagged(external)
    of_internal = None if internal is None else _flagged(internal)
    return ComparedUnknown(
        external=of_external,
        internal=of_internal,
        difference=_difference(of_internal, of_external),
        per_class={label: _flagged(external[external["label"] == label]) for label in present},
    )


def _flagged(rows: pd.DataFrame) -> Estimate:
    """Return the fraction of images that are flagged as unknown."""
    return proportion(rows["is_unknown"], rows["group_id"].astype(str))


def _difference(internal: Estimate | None, external: Estimate) -> Estimate | None:
    """Return external minus internal with the unpaired interval, or None without internal."""
    return None if internal is None else independent_difference(internal, external)
