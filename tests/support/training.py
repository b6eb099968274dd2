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


def fit_stored(stored: Stored, **changes: Any) -> tuple[UncalibratedModel, pd.DataFrame]:
    """Train on the images of the fixture ``stored``; changes are those of ``recipe``.

    Returns:
        model without calibration, history
    """
    store, table = stored
    return fit(
        store,
        table,
        table.frame.assign(pixel_id=table.frame["image_id"]),
        Checkpoints(store.folder / "checkpoints"),
        recipe(**changes),
        Preprocess(resize_mode="stretch"),
        Ingest(stored_image_size=32, max_unreadable_fraction=0.0),
    )


def calibrate_stored(
    model: UncalibratedModel,
    stored: Stored,
    metadata: MetadataInputs = IMAGES_ONLY,
    **changes: Any,
) -> TrainedModel:
    """Calibrate a model on the validation images; changes are those of ``recipe``.

    The split table has the metadata columns.
    """
    store, split_table = stored
    images = split_table.frame.assign(source="here")
    provenance = ImageProvenance(origin=split_table.provenance.origin, raw_images_version="v1")
    image_table = ImageTable(images, provenance, "v1")
    return calibrate(model, store, split_table, image_table, recipe(**changes), EVALUATE, metadata)


def predict_stored(
    model: TrainedModel, stored: Stored, split: str | None = None, batch_size: int = 16
) -> pd.DataFrame:
    """Predict the validation and test images, or those of one split."""
    rows = stored[1].frame
    rows = rows[rows["split"].isin([split] if split else ["val", "test"])]
    return predict_images(model, stored[0], rows, batch_size, "cpu")
