"""Trainings on small stored images."""

from typing import Any

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import ImageProvenance
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.predictions import predict_images
from skin_lesions.models.trained_model import TrainedModel, UncalibratedModel
from skin_lesions.pipelines.train.nodes import calibrate, fit
from skin_lesions.training.checkpoints import Checkpoints
from support.factories import EVALUATE, IMAGES_ONLY
from support.recipes import recipe

Stored = tuple[PixelStore, SplitTable]  # the fixture ``stored``
PREPROCESS = Preprocess(resize_mode="stretch", localizer=None, lesion_margin=0.2, annotations=None)


def _image_table(split_table: SplitTable) -> ImageTable:
    """Return an image table with the images of a split table and its metadata columns."""
    provenance = ImageProvenance(origin=split_table.provenance.origin, raw_images_version="v1")
    frame = split_table.frame.assign(source="here", width=100, height=100)
    return ImageTable(frame, provenance, "v1")


def fit_stored(
    stored: Stored,
    metadata: MetadataInputs = IMAGES_ONLY,
    preprocess: Preprocess = PREPROCESS,
    stored_size: int = 32,
    **changes: Any,
) -> tuple[UncalibratedModel, pd.DataFrame]:
    """Train on the images of the fixture ``stored``; changes are those of ``recipe``.

    The split table has the metadata columns. Other images have another stored size (pixels).

    Returns:
        model without calibration, history
    """
    store, table = stored
    return fit(
        store,
        table,
        _image_table(table),
        table.frame.assign(pixel_id=table.frame["image_id"]),
        Checkpoints(store.folder / "checkpoints"),
        recipe(**changes),
        preprocess,
        Ingest(stored_image_size=stored_size, max_unreadable_fraction=0.0),
        metadata,
    )


def calibrate_stored(model: UncalibratedModel, stored: Stored, **changes: Any) -> TrainedModel:
    """Calibrate a model on the validation images; changes are those of ``recipe``."""
    store, table = stored
    return calibrate(model, store, table, _image_table(table), recipe(**changes), EVALUATE)


def predict_stored(
    model: TrainedModel, stored: Stored, split: str | None = None, batch_size: int = 16
) -> pd.DataFrame:
    """Predict the validation and test images, or those of one split."""
    rows = stored[1].frame
    rows = rows[rows["split"].isin([split] if split else ["val", "test"])]
    return predict_images(model, stored[0], rows, batch_size, "cpu")
