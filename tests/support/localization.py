"""Images with a lesion, localizers, and the provenance of localization results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.provenance import LocalizationProvenance
from skin_lesions.evaluation.localization import LocalizationResults, MethodScores, WorstImage
from skin_lesions.evaluation.localization.lesion_dependence_model import (
    AlteredScores,
    ImageScores,
    LesionAttention,
    LesionDependence,
    LesionScores,
    score_findings,
)
from skin_lesions.metrics.intervals import Estimate, unavailable
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


def localization_estimate(value: float, half: float = 0.05, n: int = 40) -> Estimate:
    """Make an estimate with an interval of ``half`` on each side."""
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def localization_scores(iou: Estimate, gain: Estimate, images: int = 40) -> MethodScores:
    """Make the scores of a method."""
    no_ap = unavailable("no image has several true boxes")
    return MethodScores(
        images=images,
        groups=images - 2,
        without_box=0,
        iou=iou,
        at_50=localization_estimate(0.8),
        at_70=localization_estimate(0.6),
        thresholded_jaccard=unavailable("the method has no masks"),
        ap_50=no_ap,
        map_50_95=no_ap,
        gain=gain,
    )


def localization_results(
    gain: float = 0.2,
    worst: Sequence[WorstImage] = (),
    sources: Sequence[str] = (),
    images: int = 40,
    **changes: Any,
) -> LocalizationResults:
    """Make results of the method ``dense`` and of a fixed box; ``changes`` replace fields."""
    baseline = unavailable("the fixed box is the baseline")
    methods: dict[Method, MethodScores] = {
        "dense": localization_scores(
            localization_estimate(0.72), localization_estimate(gain), images
        ),
        "mean_box": localization_scores(localization_estimate(0.52), baseline, images),
    }
    values = {
        "provenance": LOCALIZATION_PROVENANCE,
        "trained": "dense",
        "methods": methods,
        "sources": dict.fromkeys(sources, methods),
        "min_images": 30,
        "worst": tuple(worst),
    }
    return LocalizationResults(**(values | changes))


def lesion_dependence(without_lesion: float = 0.6) -> LesionDependence:
    """Make the results of a model with a balanced accuracy of 0.7 for two classes."""
    original = ImageScores(
        accuracy=localization_estimate(0.75), balanced_accuracy=localization_estimate(0.7)
    )

    def altered(value: float) -> AlteredScores:
        return AlteredScores(
            accuracy=localization_estimate(value + 0.05),
            balanced_accuracy=localization_estimate(value),
            accuracy_lost=localization_estimate(0.7 - value),
            balanced_accuracy_lost=localization_estimate(0.7 - value),
        )

    scores = LesionScores(
        chance=0.5,
        original=original,
        without_lesion=altered(without_lesion),
        only_lesion=altered(0.65),
        covered_images=1,
    )
    attention = LesionAttention(
        layer="layer4",
        inside=localization_estimate(0.45),
        area=localization_estimate(0.2),
        gain=localization_estimate(0.25),
        masks=40,
        empty_maps=0,
    )
    return LesionDependence(
        images=40,
        groups=38,
        reason=None,
        scores=scores,
        attention=attention,
        attention_reason=None,
        findings=tuple(score_findings(scores)),
    )


def stored_localizations(**results: LocalizationResults) -> StoredVersions[LocalizationResults]:
    """Store results by version; the first one is the newest."""
    stored = {version: entry.with_version(version) for version, entry in results.items()}
    return StoredVersions("localization", tuple(stored), stored.__getitem__, _no_path)


def _no_path(path: Path) -> LocalizationResults:
    raise AssertionError(f"{path} is not read")
