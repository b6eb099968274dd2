"""Nodes of the pipeline `evaluate`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import pandas as pd

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import MetricsProvenance, PredictionProvenance
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ImageTable, PredictionTable, SplitTable
from skin_lesions.evaluation.input_checks import check_model_matches_data
from skin_lesions.evaluation.label_issues import rank_label_issues
from skin_lesions.evaluation.robustness import RobustnessResult, measure_robustness, not_measured
from skin_lesions.evaluation.scorecard import Scorecard, SplitMetrics, compute_metrics
from skin_lesions.models.trained_model import TrainedModel


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
    predictions = predict_images(model, pixel_store, rows, evaluate.batch_size, evaluate.device)
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
    table = predictions.frame
    test = table[table["split"] == "test"]
    is_original = model.provenance.split_policy == "original"
    clean = test[~test["is_leaked"] & is_original]
    leaked = test[test["is_leaked"] & is_original]

    def metrics_of(rows: pd.DataFrame) -> SplitMetrics:
        return compute_metrics(rows, model.classes, evaluate.seed)

    return Scorecard(
        split_policy=model.provenance.split_policy,
        provenance=_provenance(predictions, model),
        validation=metrics_of(table[table["split"] == "val"]),
        test=metrics_of(test),
        test_clean=metrics_of(clean) if len(clean) else None,
        test_leaked=metrics_of(leaked) if len(leaked) else None,
    )


def robustness(
    predictions: PredictionTable, model: TrainedModel, pixel_store: PixelStore, evaluate: Evaluate
) -> RobustnessResult:
    """Measure the accuracy lost on corrupted test images, if it is enabled."""
    test = predictions.frame[predictions.frame["split"] == "test"]
    provenance = _provenance(predictions, model)
    if not evaluate.robustness.enabled:
        return not_measured(test, provenance)
    return measure_robustness(model, pixel_store, test, evaluate, provenance)


def label_issues(
    predictions: PredictionTable, model: TrainedModel, evaluate: Evaluate
) -> pd.DataFrame:
    """List the suspected label errors of the validation and test images."""
    max_rows = evaluate.label_issues.max_rows
    return rank_label_issues(predictions.frame, model.classes, max_rows)


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
