"""A predictor without a network, and image files; this module does not import torch."""

import io
from typing import Any

import numpy as np
from PIL import Image

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.lesions import LesionFinder
from skin_lesions.deployment.pillow_images import read_with_pillow
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.models.network_outputs import NetworkOutputs
from support.postprocessing import postprocessing, unknown_score

FEATURES = 8
# Colors of images with a known result, RGB.
CERTAIN, UNCERTAIN, UNKNOWN = (0, 200, 0), (0, 20, 0), (0, 0, 200)


def model_description(
    classes: tuple[str, ...] = ("Melanoma", "Nevus", "Vascular lesions"), **changes: Any
) -> ModelDescription:
    """Describe a model that does not exist; ``changes`` replace fields."""
    values = {
        "architecture": "resnet18",
        "classes": classes,
        "preprocessing": Preprocessing("stretch", 64, 32),
        "postprocessing": postprocessing(
            (10,) * len(classes), unknown_score=unknown_score(FEATURES)
        ),
        "version": "2026-01-02T03.04.05.678Z",
        "is_synthetic": False,
    }
    return ModelDescription(**(values | changes))


class ColorPredictor:
    """Predicts the first class, with a probability that grows with the green value.

    Blue images have features that are far from all training images. The class activation map is
    high on the right side.
    """

    def __init__(
        self,
        *,
        has_heat_maps: bool = True,
        lesion_finder: LesionFinder | None = None,
        **changes: Any,
    ) -> None:
        if lesion_finder is not None:
            changes["localizer_version"] = lesion_finder.version
        self.description = model_description(**changes)
        self.has_heat_maps = has_heat_maps
        self.lesion_finder = lesion_finder

    def read(self, data: bytes) -> np.ndarray:
        return read_with_pillow(data, self.description.preprocessing)

    def outputs(self, images: np.ndarray) -> NetworkOutputs:
        _red, green, blue = images.mean(axis=(1, 2)).T  # (n,) each
        logits = np.zeros((len(images), len(self.description.classes)))
        logits[:, 0] = green / 25
        return NetworkOutputs(
            logits=logits, features=np.where(blue[:, None] > 128, 50.0, 0.5).repeat(FEATURES, 1)
        )

    def heat_maps(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([[0, 2], [0, 4]]), (len(images), 1, 1))


def image_file(
    color: tuple[int, int, int] = CERTAIN,
    size: tuple[int, int] = (60, 40),
    file_format: str = "PNG",
    **options: Any,
) -> bytes:
    """Make an image file of one color; ``size`` is width and height."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, file_format, **options)
    return file.getvalue()
