"""Nodes of the pipeline `localize`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from skin_lesions import __version__
from skin_lesions.config.localize import Localize
from skin_lesions.config.report import Report
from skin_lesions.data.image_files import Pixels
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import LocalizationProvenance, LocalizerProvenance
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.localization import LocalizationResults
from skin_lesions.evaluation.localization.images import LocalizationImages
from skin_lesions.evaluation.localization.lesion_dependence_model import LesionDependence
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.drawn import DrawnFigure
from skin_lesions.reporting.figures.localization import (
    draw_localization,
    draw_worst_localizations,
    title,
)
from skin_lesions.reporting.figures.placeholder import draw_placeholder

if TYPE_CHECKING:
    from skin_lesions.evaluation.localization.predictions import Classifier
    from skin_lesions.models.localization.localizer import LocalizerSettings

log = logging.getLogger(__name__)

_CHUNK = 512  # images in memory at a time


def read_annotations(
    model: TrainedModel,
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    split_table: SplitTable,
    pixel_store: PixelStore,
    localize: Localize,
) -> LocalizationImages:
    """Read the images, and match the annotations to them.

    Raises:
        InputError: There are no annotations, or none of them can be used.
    """
    from skin_lesions.pipelines.localize.annotated_images import (  # noqa: PLC0415
        folder_images,
        own_images,
    )

    stored_size = model.preprocessing.stored_image_size
    if localize.images is not None and localize.annotations is not None:
        size = max(stored_size, localize.image_size)
        return folder_images(localize.images, localize.annotations, localize, size)
    pixels = pixel_store.at(stored_size)
    return own_images(image_table, image_groups, split_table, pixels, localize)


def fit(annotated_images: LocalizationImages, model: TrainedModel, localize: Localize) -> Localizer:
    """Fit the localizer: on all annotated images, or on those of train and val."""
    from skin_lesions.evaluation.localization.images import split_part  # noqa: PLC0415

    rows = annotated_images.annotated.sort_values("file")
    if not _uses_folds(localize):
        rows = split_part(rows).fit
    found = _classifier(model, localize).fit(rows, annotated_images, _settings(localize))
    before = model.initial_weights
    train_ids = {*model.train_image_ids, *before.train_image_ids}
    val_ids = {*model.val_image_ids, *before.val_image_ids, *rows["image_id"]}
    return found.model_copy(
        update={
            "train_image_ids": tuple(sorted(train_ids)),
            "val_image_ids": tuple(sorted(val_ids - train_ids)),
            "provenance": _provenance(annotated_images, model, localize),
        }
    )


def evaluate(
    annotated_images: LocalizationImages,
    localizer: Localizer,
    model: TrainedModel,
    split_table: SplitTable,
    pixel_store: PixelStore,
    localize: Localize,
) -> tuple[LocalizationResults, pd.DataFrame]:
    """Measure the method and the baselines on images that they were not fitted on.

    On the test images of the split, it also measures whether the classifier uses the lesion.

    Returns:
        localization, lesion_boxes. The boxes of annotated images are those of the evaluation, if
        they were tested. All others are from the localizer.
    """
    from skin_lesions.evaluation.localization.compute import compute_localization  # noqa: PLC0415
    from skin_lesions.evaluation.localization.images import fold_parts, split_part  # noqa: PLC0415
    from skin_lesions.evaluation.localization.predictions import localize_parts  # noqa: PLC0415

    annotated, uses_folds = annotated_images.annotated, _uses_folds(localize)
    parts = (
        fold_parts(annotated, localize.folds, localize.seed)
        if uses_folds
        else [split_part(annotated)]
    )
    classifier = _classifier(model, localize)
    tables = localize_parts(
        parts,
        annotated_images,
        classifier,
        _settings(localize),
        fitted=None if uses_folds else localizer,
    )
    results = compute_localization(
        tables,
        methods=tuple(tables.predicted["method"].unique()),
        trained=localize.method,
        min_images=localize.min_images,
        max_worst=localize.worst_images,
        provenance=LocalizationProvenance(
            **dict(_provenance(annotated_images, model, localize)),
            annotated_images=len(annotated),
            unusable_annotations=annotated_images.unusable,
            folds=len(parts) if uses_folds else None,
        ),
    )
    log.info("%s", title(results))
    if localize.images is None:
        dependence = _lesion_dependence(annotated_images, model, split_table, pixel_store, localize)
        results = results.model_copy(update={"lesion_dependence": dependence})
    tested = tables.predicted[tables.predicted["method"] == localize.method]
    others = annotated_images.table[
        ~annotated_images.table["image_id"].isin(tables.images["image_id"])
    ]
    boxes = [
        tested.drop(columns="method"),
        *_boxes_of(others, annotated_images, classifier, localizer, localize.batch_size),
    ]
    return results, pd.concat(boxes, ignore_index=True).sort_values(
        "file", kind="stable", ignore_index=True
    )


def _lesion_dependence(
    images: LocalizationImages,
    model: TrainedModel,
    split_table: SplitTable,
    pixel_store: PixelStore,
    localize: Localize,
) -> LesionDependence:
    from skin_lesions.evaluation.localization.lesion_dependence import (  # noqa: PLC0415
        measure_lesion_dependence,
    )

    frame = split_table.frame
    is_used = (frame["split"] == "test") & frame["file"].isin(images.annotated["file"])
    rows = frame[is_used].sort_values("file")
    found = measure_lesion_dependence(
        model,
        pixel_store,
        rows,
        images.lesions_of(rows),
        batch_size=localize.batch_size,
        device=localize.device,
    )
    for finding in found.findings:
        log.warning("%s", finding.message)
    return found


def _boxes_of(
    rows: pd.DataFrame,
    images: LocalizationImages,
    classifier: "Classifier",
    localizer: Localizer,
    batch_size: int,
) -> list[pd.DataFrame]:
    """Localize images that were not tested, some at a time: all squares could need much memory."""
    from skin_lesions.evaluation.localization.predictions import boxes_table  # noqa: PLC0415

    chunks = [rows.iloc[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    return [
        boxes_table(chunk, classifier.localize(localizer, images.squares(chunk), batch_size))
        for chunk in chunks
    ]


def draw(
    annotated_images: LocalizationImages, localization: LocalizationResults, report: Report
) -> tuple[DrawnFigure, DrawnFigure]:
    """Draw the results of all methods, and the images with the lowest IoU.

    Returns:
        localization_methods, worst_localizations (a placeholder with ``report.show_images=false``)
    """
    methods = draw_localization(localization)
    if not report.show_images:
        return DrawnFigure(methods, {}), DrawnFigure(draw_placeholder("Lowest IoU"), {})
    table = annotated_images.table.set_index("image_id", drop=False)
    rows = table.loc[[entry.image_id for entry in localization.worst]]
    pixels = {
        image_id: _in_aspect_ratio(square, width, height)
        for image_id, square, width, height in zip(
            rows.index, annotated_images.squares(rows), rows["width"], rows["height"], strict=True
        )
    }
    return DrawnFigure(methods, {}), DrawnFigure(draw_worst_localizations(localization, pixels), {})


def _in_aspect_ratio(square: Pixels, width: int, height: int) -> Pixels:
    """Return a stretched square, (s, s, 3), in the aspect ratio of its image, at most (s, s, 3)."""
    scale = len(square) / max(width, height)
    image = Image.fromarray(square)
    return np.asarray(image.resize((max(1, round(width * scale)), max(1, round(height * scale)))))


def _provenance(
    images: LocalizationImages, model: TrainedModel, localize: Localize
) -> LocalizerProvenance:
    own = localize.images is None
    return LocalizerProvenance(
        model_version=model.version,
        images="this data set" if own else Path(localize.images or "").name,
        annotations="" if localize.annotations is None else Path(localize.annotations).name,
        annotation_format=images.annotation_format,
        package_version=__version__,
        # The model is trained on the images of the split.
        synthetic_images=own and model.provenance.origin.is_synthetic,
    )


def _uses_folds(localize: Localize) -> bool:
    if localize.evaluation == "auto":
        return localize.images is not None
    return localize.evaluation == "folds"


def _settings(localize: Localize) -> "LocalizerSettings":
    from skin_lesions.models.localization.dense import DecoderRecipe  # noqa: PLC0415
    from skin_lesions.models.localization.localizer import LocalizerSettings  # noqa: PLC0415

    return LocalizerSettings(
        method=localize.method,
        image_size=localize.image_size,
        batch_size=localize.batch_size,
        decoder=DecoderRecipe(**dict(localize.decoder), seed=localize.seed),
    )


def _classifier(model: TrainedModel, localize: Localize) -> "Classifier":
    from skin_lesions.evaluation.localization.predictions import Classifier  # noqa: PLC0415
    from skin_lesions.models.devices import choose_device, limit_threads  # noqa: PLC0415
    from skin_lesions.models.inference import load_network  # noqa: PLC0415

    limit_threads()
    return Classifier(
        network=load_network(model),
        architecture=model.architecture,
        preprocessing=model.preprocessing,
        device=choose_device(localize.device, "localize.device"),
    )
