"""Trainings on small stored images."""

from typing import Any

import pandas as pd

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.pipelines.train.nodes import fit
from skin_lesions.training.checkpoints import Checkpoints
from support.recipes import recipe


def fit_stored(
    stored: tuple[PixelStore, pd.DataFrame], **changes: Any
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train on the images of the fixture ``stored``; changes are those of ``recipe``.

    Returns:
        model without calibration, history
    """
    store, table = stored
    return fit(
        store,
        table,
        Checkpoints(store.folder / "checkpoints"),
        recipe(**changes),
        Preprocess(resize_mode="stretch"),
        Ingest(stored_image_size=32, max_unreadable_fraction=0.0),
    )
