"""The internal test images that external images are compared with."""

from dataclasses import dataclass

import pandas as pd

from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.tables import PredictionTable
from skin_lesions.models.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class InternalPredictions:
    """Predictions of internal test images; ``version`` is that of the table of predictions."""

    rows: pd.DataFrame
    version: str


def find_internal_predictions(
    stored: StoredVersions[PredictionTable], model: TrainedModel
) -> InternalPredictions | None:
    """Return the newest predictions of this model on its test images, or None.

    Leaked test images (policy ``original``) are left out, because they are no test of the model.
    """
    for version in stored.versions:
        # Predictions are made after their model, so that earlier versions belong to other models.
        if version < model.version:
            return None
        table = stored.load_version(version)
        if table.provenance.model_version == model.version:
            rows = table.frame[table.frame["split"] == "test"]
            if model.provenance.split_policy == "original":
                rows = rows[~rows["is_leaked"]]
            return InternalPredictions(rows=rows, version=version) if len(rows) else None
    return None
