"""Nodes of the pipeline `train`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import platform
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skin_lesions import __version__
from skin_lesions.config.evaluate import Evaluate
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.diagnoses import malignant_classes
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.pixel_store import PixelArray, PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ModelProvenance
from skin_lesions.data.tables import ImageTable, SplitTable, check_class_columns
from skin_lesions.models.postprocessing.conformal import fit_conformal
from skin_lesions.models.postprocessing.malignancy_thresholds import fit_malignancy_thresholds
from skin_lesions.models.postprocessing.metadata_fusion import (
    MetadataFusion,
    fit_weight,
    fused_logits,
)
from skin_lesions.models.postprocessing.probabilities import class_frequencies, class_probabilities
from skin_lesions.models.postprocessing.referral import fit_referral
from skin_lesions.models.postprocessing.temperature import fit_temperature
from skin_lesions.models.postprocessing.unknown_score import (
    UnknownStatistics,
    fit_threshold,
    fit_unknown_statistics,
)
from skin_lesions.models.trained_model import (
    Postprocessing,
    Selection,
    TrainedModel,
    UncalibratedModel,
)
from skin_lesions.pipelines.train.clinical_metadata import ClinicalMetadata, prepare_metadata
from skin_lesions.pipelines.train.lesion_crops import LesionCrops, prepare_crops
from skin_lesions.training.checkpoints import Checkpoint, Checkpoints
from skin_lesions.training.identity import library_versions, training_identity
from skin_lesions.training.network_metadata import NetworkMetadata
from skin_lesions.training.schedules import image_sizes
from skin_lesions.training.weights_leakage import check_weights_leakage

_MAX_STATISTICS_IMAGES = 500  # of each class, for the statistics of the unknown score

if TYPE_CHECKING:
    from torch import nn

    from skin_lesions.training.job import TrainingJob, TrainingResult


def fit(
    pixel_store: PixelStore,
    split_table: SplitTable,
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    checkpoints: Checkpoints,
    train: TrainRecipe,
    preprocess: Preprocess,
    ingest: Ingest,
    metadata: MetadataInputs,
) -> tuple[UncalibratedModel, pd.DataFrame]:
    """Train on the train rows, select the epoch on the val rows, resume an interrupted training.

    Test rows are never loaded, so they cannot influence the selection. ``image_groups`` shows
    whether the initial weights were trained on images of their groups. The clinical metadata are
    prepared first, so that columns that cannot be used stop the run at once.

    Returns:
        uncalibrated_model, training_history (one row per epoch)
    """
    from skin_lesions.models.networks import create_network  # noqa: PLC0415
    from skin_lesions.training.fit import fit_model  # noqa: PLC0415

    rows = split_table.frame.sort_values("file")  # equal content is trained on in an equal order
    classes = sorted(rows["label"].unique())
    check_class_columns(classes)
    clinical = prepare_metadata(rows, image_table.frame, metadata, train)
    initial = create_network(
        architecture=train.architecture,
        weights=train.weights,
        weights_sha256=train.weights_sha256,
        classes=classes,
        image_sizes=image_sizes(train),
        seed=train.seed,
    )
    origin = check_weights_leakage(
        initial.origin, split_table.frame, image_groups, allow=train.allow_leaky_weights
    )
    pixels = pixel_store.at(ingest.stored_image_size)
    crops = prepare_crops(
        pixels,
        rows,
        image_table.frame,
        image_groups,
        preprocess,
        allow_leakage=train.allow_leaky_weights,
        batch_size=2 * train.batch_size,
        device=_inference_device(train),
    )
    if crops is not None:
        origin = replace(origin, leakage=origin.leakage or crops.leakage)
    preprocessing = Preprocessing(
        resize_mode=preprocess.resize_mode,
        stored_image_size=ingest.stored_image_size,
        image_size=train.eval_image_size,
        mean=initial.mean,
        std=initial.std,
        lesion_margin=None if crops is None else preprocess.lesion_margin,
    )
    joined = clinical.network_inputs() if clinical and train.fusion == "concat" else None
    identity = training_identity(
        split_table.frame, train, preprocessing, origin, joined, crops.digest() if crops else None
    )
    job = _training_job(
        rows,
        classes,
        pixels,
        preprocessing,
        train,
        joined,
        crops,
        initial.network,
        checkpoints.for_training(identity),
    )
    result = fit_model(job)
    network, metadata_model = _separate_metadata(result.network, clinical, classes)
    model = UncalibratedModel(
        architecture=train.architecture,
        classes=tuple(classes),
        preprocessing=preprocessing,
        test_time_augmentation=train.test_time_augmentation,
        recipe=train.model_dump(mode="json"),
        initial_weights=origin,
        selection=_selection(result.history, train.selection_metric),
        provenance=_provenance(split_table, train, result, job.checkpoint.name),
        train_image_ids=tuple(sorted(rows.loc[rows["split"] == "train", "image_id"])),
        val_image_ids=tuple(sorted(rows.loc[rows["split"] == "val", "image_id"])),
        localizer=None if crops is None else crops.localizer,
        state_dict=network.state_dict(),
        metadata_model=metadata_model,
    )
    return model, result.history


def _training_job(
    rows: pd.DataFrame,
    classes: Sequence[str],
    pixels: PixelArray,
    preprocessing: Preprocessing,
    recipe: TrainRecipe,
    joined: NetworkMetadata | None,
    crops: LesionCrops | None,
    network: "nn.Module",
    checkpoint: Checkpoint,
) -> "TrainingJob":
    """Return the training of a network on images, and on their metadata if they are joined."""
    from skin_lesions.data.loader import build_dataset  # noqa: PLC0415
    from skin_lesions.training.concat_network import ConcatNetwork  # noqa: PLC0415
    from skin_lesions.training.job import TrainingJob  # noqa: PLC0415

    if joined is not None:
        network = ConcatNetwork(network, joined.width, len(classes))
    metadata = {} if joined is None else {"train": joined.train, "val": joined.val}
    images = {}
    for split in ("train", "val"):
        part = rows[rows["split"] == split]
        boxes = None if crops is None else crops.of(part)
        images[split] = build_dataset(
            part, classes, pixels, preprocessing, metadata.get(split), boxes
        )
    return TrainingJob(
        recipe=recipe,
        train_images=images["train"],
        val_images=images["val"],
        network=network,
        checkpoint=checkpoint,
    )


def _separate_metadata(
    network: "nn.Module", clinical: ClinicalMetadata | None, classes: Sequence[str]
) -> tuple["nn.Module", MetadataFusion | None]:
    """Return the network of the image alone, and the model of the metadata without its weight."""
    from skin_lesions.training.concat_network import ConcatNetwork  # noqa: PLC0415

    if clinical is None:
        return network, None
    if isinstance(network, ConcatNetwork):
        return network.network, clinical.trained_fusion(network.coefficients)
    return network, clinical.late_fusion(classes)


def _selection(history: pd.DataFrame, metric: str) -> Selection:
    selected = history[history["best"]].iloc[0]
    return Selection(
        best_epoch=int(selected["epoch"]), metric=metric, value=float(selected[f"val_{metric}"])
    )


def _provenance(
    split_table: SplitTable, recipe: TrainRecipe, result: "TrainingResult", training: str
) -> ModelProvenance:
    return ModelProvenance(
        **split_table.provenance.model_dump(),
        split_table_version=split_table.version,
        package_version=__version__,
        python=platform.python_version(),
        libraries=library_versions(recipe),
        training=training,
        **result.environment,
    )


def calibrate(
    uncalibrated_model: UncalibratedModel,
    pixel_store: PixelStore,
    split_table: SplitTable,
    image_table: ImageTable,
    train: TrainRecipe,
    evaluate: Evaluate,
) -> TrainedModel:
    """Fit all steps after the network on the validation images and return the complete model.

    Of the train rows, the statistics of the unknown score and the number of each class are used.
    Test rows are not used at all.
    """
    from skin_lesions.models.inference import (  # noqa: PLC0415
        logits_and_unknown_scores,
        model_outputs,
    )

    model, rows = uncalibrated_model, split_table.frame
    val = rows[rows["split"] == "val"]
    device = _inference_device(train)
    statistics = _unknown_statistics(model, pixel_store, rows[rows["split"] == "train"], train)
    outputs = model_outputs(model, pixel_store, val, 2 * train.batch_size, device)
    logits, unknown_scores = logits_and_unknown_scores(outputs, statistics)
    labels = pd.Index(model.classes).get_indexer(pd.Index(val["label"]))
    train_labels = rows.loc[rows["split"] == "train", "label"]
    counts = train_labels.value_counts().reindex(model.classes, fill_value=0)
    frequencies = class_frequencies(counts.tolist(), train.class_balance, train.decision)
    calibration = fit_temperature(
        logits, labels, frequencies.of_training_images, frequencies.log_ratio_to_training
    )
    temperature = calibration.temperature
    fusion, val_metadata = model.metadata_model, rows_of_images(val, image_table.frame)
    if fusion is not None:
        encoded = fusion.encoder.encode(val_metadata)
        fusion = fit_weight(fusion, encoded, logits, labels, temperature, frequencies)
    found = class_probabilities(
        fused_logits(logits, fusion, temperature, val_metadata), temperature, frequencies
    )
    correct = found.predicted == labels
    malignant = malignant_classes(model.classes, evaluate.malignant_classes)
    postprocessing = Postprocessing(
        calibration=calibration,
        frequencies=frequencies,
        conformal=fit_conformal(found.frequency, labels, train.conformal_coverage),
        referral=fit_referral(found.confidence, correct, train.referral_accuracy),
        unknown_score=fit_threshold(
            statistics, unknown_scores, train.unknown_score.flagged_fraction
        ),
        malignancy_thresholds=fit_malignancy_thresholds(
            found.frequency, labels, malignant, evaluate.operating_points
        ),
        metadata_fusion=fusion,
    )
    return TrainedModel(**dict(model) | {"metadata_model": None}, postprocessing=postprocessing)


def _inference_device(train: TrainRecipe) -> str:
    # Ray workers may have used a device that this machine does not have.
    return "auto" if train.launcher == "ray" else train.device


def _unknown_statistics(
    model: UncalibratedModel, pixel_store: PixelStore, rows: pd.DataFrame, train: TrainRecipe
) -> UnknownStatistics:
    """Fit the statistics of the unknown score on training images.

    More than some hundred images of a class hardly change the statistics, but take time.
    """
    from skin_lesions.models.inference import model_outputs  # noqa: PLC0415

    shuffled = rows.sort_values("file").sample(frac=1, random_state=train.seed)
    selected = shuffled.groupby("label").head(_MAX_STATISTICS_IMAGES)
    device, batch_size = _inference_device(train), 2 * train.batch_size
    outputs = model_outputs(model, pixel_store, selected, batch_size, device, augment=False)
    features = np.concatenate([batch.features for batch in outputs])  # (images, features)
    labels = pd.Index(model.classes).get_indexer(pd.Index(selected["label"]))
    return fit_unknown_statistics(train.unknown_score.method, features, labels, train.seed)
