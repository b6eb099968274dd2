"""Images with a lesion, localizers, and the provenance of localization results."""

from typing import Any

import numpy as np
import torch

from skin_lesions.data.provenance import LocalizationProvenance
from skin_lesions.models.inference import load_network
from skin_lesions.models.localization.dense import DecoderRecipe
from skin_lesions.models.localization.lesions import Lesion
from skin_lesions.models.localization.localizer import LocalizerSettings, fit_localizer
from skin_lesions.models.localization.localizer_model import Localizer, Method
from skin_lesions.models.trained_model import TrainedModel

LESION_IMAGE_SIZE = 64
LOCALIZER_VERSION = "2026-11-29T07.00.00.000Z"

LOCALIZATION_PROVENANCE = LocalizationProvenance(
    model_version="V1",
    images="images",
    annotations="masks",
    annotation_format="masks",
    annotated_images=20,
    unusable_annotations=0,
    folds=5,
    package_version="0.1.0",
    synthetic_images=False,
)


def lesion_examples(
    count: int, seed: int = 0, *, masks: bool = True
) -> tuple[np.ndarray, list[Lesion]]:
    """Make squares with one dark ellipse on light, noisy skin, and their annotations."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:LESION_IMAGE_SIZE, :LESION_IMAGE_SIZE] + 0.5) / LESION_IMAGE_SIZE
    squares, lesions = [], []
    for _ in range(count):
        radius = rng.uniform(0.12, 0.3, size=2)
        center = rng.uniform(radius, 1 - radius)
        mask = ((x - center[0]) / radius[0]) ** 2 + ((y - center[1]) / radius[1]) ** 2 <= 1
        image = np.where(mask, 80, 190)[..., None] + rng.normal(
            0, 8, (LESION_IMAGE_SIZE, LESION_IMAGE_SIZE, 3)
        )
        squares.append(image.clip(0, 255).astype(np.uint8))
        box = np.concatenate([center - radius, center + radius]).clip(0, 1)
        lesions.append(Lesion(boxes=box[None], mask=mask if masks else None))
    return np.stack(squares), lesions


def localizer_of(model: TrainedModel, method: Method = "dense", **recipe: Any) -> Localizer:
    """Fit a localizer of a model to synthetic images, quickly."""
    squares, lesions = lesion_examples(16)
    values = {"epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "network_learning_rate": 1e-3}
    decoder = DecoderRecipe(**{**values, "weight_decay": 0.01, "views": 2, "seed": 0, **recipe})
    return fit_localizer(
        load_network(model),
        squares,
        lesions,
        LocalizerSettings(
            method=method, image_size=LESION_IMAGE_SIZE, batch_size=8, decoder=decoder
        ),
        architecture=model.architecture,
        preprocessing=model.preprocessing,
        device=torch.device("cpu"),
    ).with_version(LOCALIZER_VERSION)


def lesion_images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Make images of 96 x 64 pixels with one lesion, (64, 96, 3) uint8."""
    squares, _ = lesion_examples(count, seed)
    return [np.repeat(square, 3, axis=1)[:, ::2] for square in squares]
