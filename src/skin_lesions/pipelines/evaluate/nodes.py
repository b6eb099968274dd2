"""Nodes of the pipeline `evaluate`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import logging
from dataclasses import replace

import pandas as pd

from skin_lesions.audit.model_findings import ModelFindings, compute_model_findings
from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.diagnoses import malignant_classes
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import MetricsProvenance, PredictionProvenance
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ExplanationTable, ImageTable, PredictionTable, SplitTable
from skin_lesions.evaluation.explained_images import select_images, without_maps
from skin_lesions.evaluation.fusion import (
    FusionResults,
    compute_fusion_results,
    without_metadata,
)
from skin_lesions.evaluation.input_checks import check_model_matches_data
from skin_lesions.evaluation.label_issues import rank_label_issues
from skin_lesions.evaluation.malignancy import (
    MalignancyResults,
    malignancy_of_rows,
    reason_without_operating_points,
)
from skin_lesions.evaluation.robustness import RobustnessResult, measure_robustness, not_measured
from skin_lesions.evaluation.scorecard import Scorecard, SplitMetrics, compute_metrics
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays
from skin_lesions.evaluation.slices import SliceResults, compute_slices
from skin_lesions.evaluation.slices.columns import LEAKED_COLUMN
from skin_lesions.evaluation.uncertainty import (
    Uncertainty,
    UncertaintyMetrics,
    uncertainty_metrics,
)
from skin_lesions.evaluation.unknown import UnknownResults, compute_unknown_results
from skin_lesions.models.postprocessing.metadata_fusion import log_unusable_values
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)


def predict(
    model: TrainedModel,
    pixel_store: PixelStore,
    split_table: SplitTable,
    image_table: ImageTable,
    raw_images: RawImages,
    evaluate: Evaluate,
) -> PredictionTable:
    """Predict the validation and test images.

    First check that the model was trained on this split and these images.
    """
    from skin_lesions.evaluation.predictions import predict_images  # noqa: PLC0415 (torch)

    check_model_matches_data(model, split_table, image_table, raw_images)
    rows = split_table.frame[split_table.frame["split"].isin(["val", "test"])]
    metadata = rows_of_images(rows, image_table.frame)
    log_unusable_values(model.postprocessing.metadata_fusion, metadata)
    predictions = predict_images(
        model, pixel_store, rows, evaluate.batch_size, evaluate.device, metadata=metadata
    )
    provenance = PredictionProvenance(
        model_version=model.version,
        split_table_version=split_table.version,
        image_table_version=image_table.version,
        raw_images_version=raw_images.version,
    )
    return PredictionTable(predictions, provenance)


def score(predictions: PredictionTable, model: TrainedModel, evaluate: Evaluate) -> Scorecard:
    """Compute the metrics with intervals, and record what they were made from.

    In the original split, a test image with a related image in train or val gives an optimistic
    result. Leaked and clean test images are therefore also evaluated separately.
    """

    def metrics_of(rows: pd.DataFrame) -> SplitMetrics:
        return compute_metrics(
            rows,
            model.classes,
            evaluate.seed,
            malignant_classes=evaluate.malignant_classes,
            temperature=model.postprocessing.calibration.temperature,
            log_prior=model.postprocessing.frequencies.log_ratio_to_training,
        )

    table = predictions.frame
    subsets = {name: metrics_of(rows) for name, rows in _test_subsets(table, model).items()}
    return Scorecard(
        split_policy=model.provenance.split_policy,
        provenance=_provenance(predictions, model),
        validation=metrics_of(table[table["split"] == "val"]),
        test=subsets["test"],
        test_clean=subsets.get("test_clean"),
        test_leaked=subsets.get("test_leaked"),
    )


def measure_uncertainty(predictions: PredictionTable, model: TrainedModel) -> Uncertainty:
    """Measure prediction sets and selective prediction on the test images.

    Sets and referral threshold were fitted on validation images, in the pipeline ``train``.
    """
    fitted = model.postprocessing

    def metrics_of(rows: pd.DataFrame) -> UncertaintyMetrics:
        return uncertainty_metrics(rows, model.classes, fitted.conformal.coverage, fitted.referral)

    subsets = _test_subsets(predictions.frame, model)
    clean = subsets.get("test_clean")
    return Uncertainty(
        provenance=_provenance(predictions, model),
        decision=fitted.frequencies.decision,
        thresholds=fitted.conformal,
        referral=fitted.referral,
        test=metrics_of(subsets["test"]),
        test_clean=None if clean is None else metrics_of(clean),
    )


def measure_malignancy(
    predictions: PredictionTable, model: TrainedModel, evaluate: Evaluate
) -> MalignancyResults:
    """Compute the results of malignant against benign on the test images.

    The thresholds are those of the model file, chosen on validation images.
    """
    classes = malignant_classes(model.classes, evaluate.malignant_classes)
    reason = reason_without_operating_points(model.postprocessing.malignancy_thresholds, classes)
    if reason is not None:
        log.warning("No results at thresholds: %s", reason)

    test_subsets = _test_subsets(predictions.frame, model)
    subsets = {
        name: malignancy_of_rows(rows, model, evaluate) for name, rows in test_subsets.items()
    }
    return MalignancyResults(
        split_policy=model.provenance.split_policy,
        provenance=_provenance(predictions, model),
        malignant_classes=classes.malignant,
        benign_classes=classes.benign,
        excluded_classes=classes.excluded,
        no_operating_points=reason,
        test=subsets["test"],
        test_clean=subsets.get("test_clean"),
        test_leaked=subsets.get("test_leaked"),
    )


def measure_slices(
    predictions: PredictionTable,
    image_table: ImageTable,
    model: TrainedModel,
    evaluate: Evaluate,
) -> SliceResults:
    """Compute the results of the subgroups of the test images.

    In the original split, leaked against clean images are subgroups, too.
    """
    table = predictions.frame
    test = table[table["split"] == "test"]
    images = rows_of_images(test, image_table.frame)
    if model.provenance.split_policy == "original":
        leaked = test["is_leaked"].map({True: "leaked", False: "clean"})
        images = images.assign(**{LEAKED_COLUMN: leaked.to_numpy()})
    return compute_slices(
        prediction_arrays(test, model.classes, evaluate.malignant_classes),
        images,
        evaluate.slices,
        split_policy=model.provenance.split_policy,
        provenance=_provenance(predictions, model),
    )


def measure_fusion(
    predictions: PredictionTable,
    image_table: ImageTable,
    model: TrainedModel,
    evaluate: Evaluate,
) -> FusionResults:
    """Measure what the clinical metadata add to the image, if the model uses them."""
    fusion, provenance = model.postprocessing.metadata_fusion, _provenance(predictions, model)
    if fusion is None:
        return without_metadata(provenance)
    test = replace(predictions, frame=predictions.frame[predictions.frame["split"] == "test"])
    images = rows_of_images(test.frame, image_table.frame)
    return compute_fusion_results(test, images, model, fusion, evaluate, provenance)


def measure_robustness_if_enabled(
    predictions: PredictionTable,
    image_table: ImageTable,
    model: TrainedModel,
    pixel_store: PixelStore,
    evaluate: Evaluate,
) -> RobustnessResult:
    """Measure the accuracy lost on corrupted test images, if it is enabled."""
    test = predictions.frame[predictions.frame["split"] == "test"]
    provenance = _provenance(predictions, model)
    if not evaluate.robustness.enabled:
        return not_measured(test, provenance)
    metadata = rows_of_images(test, image_table.frame)
    return measure_robustness(model, pixel_store, test, metadata, evaluate, provenance)


def list_label_issues(
    predictions: PredictionTable, model: TrainedModel, evaluate: Evaluate
) -> pd.DataFrame:
    """List the suspected label errors of the validation and test images."""
    max_rows = evaluate.label_issues.max_rows
    return rank_label_issues(predictions.frame, model.classes, max_rows)


def count_unknown_images(predictions: PredictionTable, model: TrainedModel) -> UnknownResults:
    """Count the images that the unknown score of the model flags."""
    return compute_unknown_results(
        predictions.frame,
        model.classes,
        model.postprocessing.unknown_score,
        _provenance(predictions, model),
    )


def explain(
    predictions: PredictionTable,
    model: TrainedModel,
    pixel_store: PixelStore,
    evaluate: Evaluate,
) -> tuple[ExplanationTable, ModelFindings]:
    """Explain test images with Grad-CAM, and report what the maps reveal.

    Returns:
        explained_images, model_findings
    """
    parameters = evaluate.explain
    rows = select_images(
        predictions.frame, model.classes, parameters.images_per_class, evaluate.seed
    )
    if parameters.enabled:
        from skin_lesions.evaluation.explanations import explain_images  # noqa: PLC0415 (torch)

        images = explain_images(model, pixel_store, rows, evaluate)
    else:
        images = without_maps(rows, "explanations are disabled (evaluate.explain.enabled)")
    provenance = _provenance(predictions, model)
    findings = compute_model_findings(
        images.frame[images.frame["in_sample"]],
        model.classes,
        parameters.border_width,
        provenance,
        layer=images.layer,
        reason=images.reason,
    )
    return ExplanationTable(images.to_frame(), provenance), findings


def _test_subsets(table: pd.DataFrame, model: TrainedModel) -> dict[str, pd.DataFrame]:
    """Return the test predictions, and with the policy ``original`` the clean and leaked ones."""
    test = table[table["split"] == "test"]
    subsets = {"test": test}
    has_original_split = model.provenance.split_policy == "original"
    if has_original_split:
        subsets["test_clean"] = test[~test["is_leaked"]]
        subsets["test_leaked"] = test[test["is_leaked"]]
    return {name: rows for name, rows in subsets.items() if name == "test" or len(rows)}


def _provenance(predictions: PredictionTable, model: TrainedModel) -> MetricsProvenance:
    """Return what the results of an evaluator were made from."""
    made_from, leakage = model.provenance, model.initial_weights.leakage
    return MetricsProvenance(
        **predictions.provenance.model_dump(),
        predictions_version=predictions.version,
        split_fingerprint=made_from.split_fingerprint,
        data_fingerprint=made_from.data_fingerprint,
        package_version=made_from.package_version,
        synthetic_images=made_from.origin.is_synthetic,
        leaked_test_images=leakage.test_images if leakage else 0,
    )
