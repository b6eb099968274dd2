"""Predictions of a trained model: class, probabilities and prediction set of each image."""

from collections.abc import Callable

import pandas as pd

from skin_lesions.data.loader import ImageDataset
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import balanced_column, probability_column
from skin_lesions.models.inference import logits_and_unknown_scores, model_outputs
from skin_lesions.models.postprocessing.conformal import set_names
from skin_lesions.models.postprocessing.metadata_fusion import fused_logits
from skin_lesions.models.postprocessing.probabilities import class_probabilities
from skin_lesions.models.trained_model import TrainedModel


def predict_images(
    model: TrainedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    batch_size: int,
    device: str,
    transform: Callable[[ImageDataset], ImageDataset] | None = None,
    metadata: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Predict the images of some rows of a split table.

    Args:
        model: The model.
        pixels: Decoded images.
        rows: Rows of a split table.
        batch_size: Number of images per batch.
        device: As in ``evaluate.device``.
        transform: Function that returns the dataset with other images, such as corrupted ones.
        metadata: Metadata of each row, for a model with late fusion. None: the images alone.

    Returns:
        One row per image: file, image_id, group_id, split, label, is_leaked, predicted,
        conformal_set (list of class names, the most probable first; it may be empty), and for each
        class of the model its calibrated probabilities ``p_<class>`` (for the class frequencies of
        the training images) and ``p_balanced_<class>`` (for equal class frequencies). The last
        columns are unknown_score, and whether it is above the threshold of the model, is_unknown.
    """
    rows = rows.reset_index(drop=True)
    fitted = model.postprocessing
    outputs = model_outputs(model, pixels, rows, batch_size, device, transform=transform)
    logits, unknown_score = logits_and_unknown_scores(outputs, fitted.unknown_score.statistics)
    temperature = fitted.calibration.temperature
    fused = fused_logits(logits, fitted.metadata_fusion, temperature, metadata)
    found = class_probabilities(fused, temperature, fitted.frequencies)
    members = fitted.conformal.contains(found.frequency)
    keys = rows[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
    sets = set_names(members, found.frequency, model.classes)
    return pd.concat(
        [
            keys.assign(
                predicted=[model.classes[c] for c in found.predicted],
                conformal_set=pd.Series(sets, dtype=object),
            ),
            pd.DataFrame(found.frequency, columns=list(map(probability_column, model.classes))),
            pd.DataFrame(found.balanced, columns=list(map(balanced_column, model.classes))),
            pd.DataFrame(
                {
                    "unknown_score": unknown_score,
                    "is_unknown": unknown_score > fitted.unknown_score.threshold,
                }
            ),
        ],
        axis=1,
    )
