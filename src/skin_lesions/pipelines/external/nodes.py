"""Nodes of the pipeline `external`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import logging

import pandas as pd

from skin_lesions import __version__
from skin_lesions.audit import registry, run_audit, summary_messages
from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.audit import Audit
from skin_lesions.config.evaluate import Evaluate
from skin_lesions.config.external import External, external_name
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.split import Split
from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data import groups as grouping
from skin_lesions.data.image_table import build_image_table, rows_of_images
from skin_lesions.data.label_mapping import LabelMapping, map_labels, read_label_map
from skin_lesions.data.pixel_store import DecodeRequest, IngestRequest, PixelStore
from skin_lesions.data.provenance import (
    ExternalMetricsProvenance,
    ExternalPredictionProvenance,
    ImageProvenance,
)
from skin_lesions.data.raw_store import ObjectStore, RawImages
from skin_lesions.data.sources.external import open_external
from skin_lesions.data.tables import ExternalPredictionTable, ImageTable, PredictionTable
from skin_lesions.data.training_overlap import (
    TrainingOverlap,
    locate_training_images,
    overlapping_images,
    search_near_duplicates,
)
from skin_lesions.evaluation.external import (
    ExternalInputs,
    ExternalResults,
    ImageCounts,
    MappedLabel,
    OverlapSummary,
    compute_external_results,
)
from skin_lesions.evaluation.external.internal_test import find_internal_predictions
from skin_lesions.evaluation.external.selection import select_external_images
from skin_lesions.models.postprocessing.metadata_fusion import log_unusable_values
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)


def read_source(model: TrainedModel, external: External) -> IngestRequest:
    """Request all external files at the stored image size of the model.

    Labels without a class stop the run here, before any image is read.
    """
    files = open_external(external, model.provenance.origin)
    _mapping(files.table["label"], model, external)
    return IngestRequest(files, model.preprocessing.stored_image_size)


def decode_images(external_raw_images: RawImages, model: TrainedModel) -> DecodeRequest:
    """Request all external images at the stored image size of the model."""
    return DecodeRequest(external_raw_images, model.preprocessing.stored_image_size)


def describe_images(
    external_raw_images: RawImages,
    external_pixel_store: PixelStore,
    model: TrainedModel,
    ingest: Ingest,
) -> tuple[ImageTable, pd.DataFrame]:
    """Describe each readable file, and list unreadable files with the reason.

    Returns:
        external_image_table, external_quarantine
    """
    decode_results = external_pixel_store.at(model.preprocessing.stored_image_size).index
    table, quarantine = build_image_table(
        external_raw_images.table, decode_results, ingest.max_unreadable_fraction
    )
    provenance = ImageProvenance(
        origin=external_raw_images.origin, raw_images_version=external_raw_images.version
    )
    return ImageTable(table, provenance), quarantine


def find_overlap(
    external_image_table: ImageTable,
    external_raw_images: RawImages,
    model: TrainedModel,
    stored_raw_images: ObjectStore,
    pixel_store: PixelStore,
) -> tuple[pd.DataFrame, pd.DataFrame, TrainingOverlap]:
    """Group the external images, and find those that the model was trained or selected on.

    Returns:
        external_image_groups, external_image_links, external_overlap
    """
    table = external_image_table.frame
    training = locate_training_images(
        model.train_image_ids,
        model.val_image_ids,
        stored_raw_images,
        pixel_store.at(model.preprocessing.stored_image_size),
    )
    image_ids = table["image_id"].unique().tolist()
    within, across = search_near_duplicates(image_ids, external_raw_images.store, training)
    image_groups, image_links = grouping.group_images(table, within)
    overlap = TrainingOverlap(
        model_version=model.version,
        external_image_table_version=external_image_table.version,
        training_images=len(training.splits),
        originals_compared=len(training.originals),
        squares_compared=len(training.squares),
        images=overlapping_images(table, image_groups, across, training.splits),
    )
    _log_overlap(overlap)
    return image_groups, image_links, overlap


def audit_images(
    external_image_table: ImageTable,
    external_image_groups: pd.DataFrame,
    external_image_links: pd.DataFrame,
    external_quarantine: pd.DataFrame,
    external_pixel_store: PixelStore,
    external_raw_images: RawImages,
    model: TrainedModel,
    audit: Audit,
    split: Split,
) -> AuditFindings:
    """Run the checks that apply to images without a training, and log the severe findings."""
    findings = run_audit(
        AuditContext(
            source_table=external_raw_images.table,
            image_table=external_image_table.frame,
            image_table_version=external_image_table.version,
            image_groups=external_image_groups,
            image_links=external_image_links,
            quarantine=external_quarantine,
            images=external_pixel_store.at(model.preprocessing.stored_image_size),
            raw_images=external_raw_images.store,
            split=split,
            parameters=audit,
        ),
        registry.EVALUATION_CHECKS,
    )
    for message in summary_messages(findings):
        log.info(message)
    return findings


def predict(
    external_image_table: ImageTable,
    external_image_groups: pd.DataFrame,
    external_overlap: TrainingOverlap,
    external_pixel_store: PixelStore,
    model: TrainedModel,
    external: External,
    evaluate: Evaluate,
) -> ExternalPredictionTable:
    """Predict the external images, also those that overlap with the training (``is_leaked``)."""
    from skin_lesions.evaluation.predictions import predict_images  # noqa: PLC0415 (torch)

    table = external_image_table.frame
    mapping = _mapping(table["label"], model, external)
    selected = select_external_images(table, external_image_groups, mapping, external_overlap.files)
    metadata = rows_of_images(selected.rows, table)
    log_unusable_values(model.postprocessing.metadata_fusion, metadata)
    predictions = predict_images(
        model,
        external_pixel_store,
        selected.rows,
        evaluate.batch_size,
        evaluate.device,
        metadata=metadata,
    )
    predictions.insert(5, "source_label", selected.rows["source_label"].to_numpy())
    provenance = ExternalPredictionProvenance(
        origin=external_image_table.provenance.origin,
        model_version=model.version,
        external_image_table_version=external_image_table.version,
        external_overlap_version=external_overlap.version,
    )
    return ExternalPredictionTable(predictions, provenance)


def evaluate_predictions(
    external_predictions: ExternalPredictionTable,
    external_image_table: ImageTable,
    external_image_groups: pd.DataFrame,
    external_quarantine: pd.DataFrame,
    external_overlap: TrainingOverlap,
    model: TrainedModel,
    stored_predictions: StoredVersions[PredictionTable],
    external: External,
    evaluate: Evaluate,
) -> ExternalResults:
    """Compute the results on the external images, beside those on the internal test images."""
    table, predictions = external_image_table.frame, external_predictions.frame
    mapping = _mapping(table["label"], model, external)
    selected = select_external_images(table, external_image_groups, mapping, external_overlap.files)
    internal = find_internal_predictions(stored_predictions, model)
    evaluated = predictions[~predictions["is_leaked"]]
    files = table["label"].astype(str).value_counts()
    inputs = ExternalInputs(
        predictions=predictions,
        image_table=table,
        model=model,
        internal=internal,
        counts=ImageCounts(
            files=len(table) + len(external_quarantine),
            quarantined=len(external_quarantine),
            ignored=selected.ignored,
            conflicting=selected.conflicting,
            repeated=selected.repeated,
            overlapping=len(predictions) - len(evaluated),
            evaluated=len(evaluated),
            groups=int(evaluated["group_id"].nunique()),
        ),
        labels=tuple(
            MappedLabel(label=label, class_name=name, files=int(files[label]))
            for label, name in mapping.classes.items()
        ),
        overlap=OverlapSummary(
            counts=external_overlap.counts,
            training_images=external_overlap.training_images,
            compared=external_overlap.compared,
            with_overlap=None,
        ),
        evaluate=evaluate,
    )
    made_from = external_predictions.provenance
    return compute_external_results(
        inputs,
        external_name(external.model_dump()),
        ExternalMetricsProvenance(
            **dict(made_from),
            external_predictions_version=external_predictions.version,
            internal_predictions=None if internal is None else internal.version,
            split_policy=model.provenance.split_policy,
            package_version=__version__,
            synthetic_images=made_from.origin.is_synthetic or model.provenance.origin.is_synthetic,
        ),
    )


def _mapping(labels: pd.Series, model: TrainedModel, external: External) -> LabelMapping:
    return map_labels(labels, model.classes, read_label_map(external.label_map))


def _log_overlap(overlap: TrainingOverlap) -> None:
    if overlap.images:
        log.warning(
            "%s overlap with training or validation images of the model and are left out (%s). "
            "All are listed in overlap.json",
            pluralize(len(overlap.images), "external image"),
            ", ".join(f"{count} {kind}" for kind, count in overlap.counts.items()),
        )
    if overlap.compared < overlap.training_images:
        log.warning(
            "%d of %d training and validation images are not on this machine. Only exact "
            "duplicates of them were found",
            overlap.training_images - overlap.compared,
            overlap.training_images,
        )
