"""A small predictor that needs no torch."""

import dataclasses
from pathlib import Path
from typing import Any

from skin_lesions.data.image_files import Pixels
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.lesions import LesionFinder
from skin_lesions.deployment.pillow_images import read_with_pillow
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.predictor import ModelDescription, Predictor
from skin_lesions.deployment.rows import PredictionRow
from skin_lesions.models.network_outputs import NetworkOutputs
from support.postprocessing import postprocessing, unknown_score

CLASSES = ("nv", "mel")


def description(**changes: Any) -> ModelDescription:
    """Describe a model of two classes; ``changes`` replace its fields."""
    values: dict[str, Any] = {
        "architecture": "mean_color",
        "classes": CLASSES,
        "preprocessing": Preprocessing("stretch", 16, 8),
        "postprocessing": postprocessing((3, 1), unknown_score=unknown_score(features=3)),
        "version": "V1",
        "is_synthetic": False,
    }
    return ModelDescription(**(values | changes))


def predicted_rows(predictor: Predictor, folder: Path) -> list[PredictionRow]:
    """Predict all files in a folder, three at a time."""
    found = find_images([str(folder)], follow_symlinks=False, option="x")
    return [row for batch in PredictionRun(predictor, found, 3).batches() for row in batch]


@dataclasses.dataclass
class MeanColorPredictor:
    """Predicts from the mean color. ``batches`` lists the sizes of the batches so far."""

    description: ModelDescription = dataclasses.field(default_factory=description)
    batches: list[int] = dataclasses.field(default_factory=list)
    lesion_finder: LesionFinder | None = None

    def read(self, data: bytes) -> Pixels:
        """Decode an image; see ``Predictor.read``."""
        return read_with_pillow(data, self.description.preprocessing)

    def outputs(self, images: Pixels) -> NetworkOutputs:
        """Return logits that increase with red and blue, and the mean color as features."""
        self.batches.append(len(images))
        color = images.mean(axis=(1, 2)) / 64  # (n, 3)
        return NetworkOutputs(logits=color[:, [0, 2]], features=color)
