"""Dependence of a classifier on the lesion: Grad-CAM inside of it, and scores without it.

A classifier that still recognizes the classes without the lesion uses something else. This module
imports torch.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.loader import sequential_batches
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.evaluation.localization.altered_images import (
    Alteration,
    AlteredImages,
    lesion_pixels,
)
from skin_lesions.evaluation.localization.lesion_dependence_model import (
    AlteredScores,
    ImageScores,
    LesionAttention,
    LesionDependence,
    LesionScores,
    attention_findings,
    score_findings,
    too_few_images,
    too_few_maps,
)
from skin_lesions.evaluation.predictions import predict_images
from skin_lesions.evaluation.scorecard.accuracy import ACCURACY
from skin_lesions.evaluation.scorecard.arrays import PredictionArrays, prediction_arrays
from skin_lesions.evaluation.scorecard.class_means import BALANCED_ACCURACY
from skin_lesions.evaluation.scorecard.metric import Evaluation
from skin_lesions.evaluation.scorecard.per_class import RECALL
from skin_lesions.metrics import paired
from skin_lesions.metrics.localization import mean_gain, mean_of_images
from skin_lesions.models.devices import choose_device, limit_threads
from skin_lesions.models.grad_cam import MapUnavailableError, find_map_layer, grad_cam
from skin_lesions.models.inference import load_network, model_images
from skin_lesions.models.localization.lesions import FloatArray, Lesion
from skin_lesions.models.trained_model import TrainedModel

Bools = npt.NDArray[np.bool_]

_COLUMNS = ["file", "image_id", "group_id", "split", "label", "is_leaked"]


def measure_lesion_dependence(
    model: TrainedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    lesions: Sequence[Lesion],
    *,
    batch_size: int,
    device: str,
) -> LesionDependence:
    """Measure whether a model uses the lesions of annotated test images.

    The model predicts from the images alone, also if it was trained with clinical metadata.

    Args:
        model: The model.
        pixels: Decoded images.
        rows: The annotated test images: rows of the split table.
        lesions: The lesions of each row, (n,).
        batch_size: Number of images per batch.
        device: As in ``evaluate.device``.

    Raises:
        InputError: The rows are not labeled test images with one entry of lesions each.
    """
    _check_rows(rows, lesions, model.classes)
    rows = rows.reset_index(drop=True)
    reason = too_few_images(len(rows))
    if rows.empty:
        return LesionDependence(
            images=0,
            groups=0,
            reason=reason,
            scores=None,
            attention=None,
            attention_reason=reason,
            findings=(),
        )
    predict = partial(predict_images, model, pixels, rows, batch_size, device)
    predicted = predict()
    scores = _scores(model, predicted, lesions, predict)
    # The loader returns the class of each map: the predicted class instead of the label.
    maps_of = rows.assign(label=predicted["predicted"])
    attention, attention_reason = _attention(model, pixels, maps_of, lesions, batch_size, device)
    if reason is None and rows["label"].nunique() == 1:
        reason = "all annotated test images are of one class"
    found = [] if reason else score_findings(scores)
    if attention is not None:
        attention_reason = too_few_maps(attention.gain.n)
        found += [] if attention_reason else attention_findings(attention)
    return LesionDependence(
        images=len(rows),
        groups=int(rows["group_id"].nunique()),
        reason=reason,
        scores=scores,
        attention=attention,
        attention_reason=attention_reason,
        findings=tuple(found),
    )


def _check_rows(rows: pd.DataFrame, lesions: Sequence[Lesion], classes: Sequence[str]) -> None:
    missing = [column for column in _COLUMNS if column not in rows]
    if missing:
        raise InputError(
            f"The table of annotated images has no column {', '.join(missing)}. Expected rows of "
            "the split table. Fix: merge the annotated images with the split table"
        )
    if len(rows) != len(lesions):
        raise InputError(
            f"{len(rows):,} annotated images and {len(lesions):,} entries of lesions. Expected one "
            "entry for each image. Fix: select the lesions of the same rows"
        )
    others = sorted(set(rows["split"].astype(str)) - {"test"})
    if others:
        raise InputError(
            f"Annotated images of another split than test ({', '.join(map(printable, others))}). "
            "Expected only test images. Fix: leave out the other rows"
        )
    unknown = sorted(set(rows["label"].astype(str)) - set(classes))
    if unknown:
        raise InputError(
            f"Labels that are no class of the model ({', '.join(map(printable, unknown))}). "
            f"Expected {', '.join(map(printable, classes))}. Fix: use the split table of the model"
        )


# Scores


def _scores(
    model: TrainedModel,
    predicted: pd.DataFrame,
    lesions: Sequence[Lesion],
    predict: Callable[..., pd.DataFrame],
) -> LesionScores:
    """Return the scores on the original and on the altered images.

    Args:
        model: The model.
        predicted: Predictions of the original images.
        lesions: The lesions of each image, (n,).
        predict: Function that predicts the images after ``transform``.
    """
    original = prediction_arrays(predicted, model.classes)

    def altered_scores(alteration: Alteration) -> AlteredScores:
        transform = partial(AlteredImages.of, lesions=lesions, alteration=alteration)
        found = prediction_arrays(predict(transform=transform), model.classes)
        # Lost is the original minus the altered score, so the altered one is the baseline.
        return AlteredScores(
            **dict(_image_scores(found)),
            accuracy_lost=paired.accuracy_difference(
                found.correct, original.correct, original.group
            ),
            balanced_accuracy_lost=paired.balanced_accuracy_difference(
                original.label, found.predicted, original.predicted, original.group
            ),
        )

    size = model.preprocessing.stored_image_size
    return LesionScores(
        chance=1 / original.present.size,
        original=_image_scores(original),
        without_lesion=altered_scores("without_lesion"),
        only_lesion=altered_scores("only_lesion"),
        covered_images=sum(bool(lesion_pixels(lesion, size).all()) for lesion in lesions),
    )


def _image_scores(rows: PredictionArrays) -> ImageScores:
    recalls = [{"recall": RECALL.estimate(rows, c)} for c in range(len(rows.classes))]
    evaluation = Evaluation(rows=rows, per_class=recalls)
    return ImageScores(
        accuracy=ACCURACY.estimate(evaluation),
        balanced_accuracy=BALANCED_ACCURACY.estimate(evaluation),
    )


# Attention


def _attention(
    model: TrainedModel,
    pixels: PixelStore,
    rows: pd.DataFrame,
    lesions: Sequence[Lesion],
    batch_size: int,
    device: str,
) -> tuple[LesionAttention | None, str | None]:
    """Return the attention to the lesions, or the reason why there are no maps.

    The label of each row is the class of its map.
    """
    chosen = choose_device(device)
    limit_threads()
    network = load_network(model).to(chosen).eval()
    try:
        layer = find_map_layer(network, model.preprocessing.image_size)
    except MapUnavailableError as error:
        return None, f"{model.architecture}: {error}"
    images = model_images(model, pixels, rows, batch_size, chosen)
    batches = images.iter_batches(sequential_batches(len(images), batch_size), chosen)
    maps = torch.cat(
        [
            grad_cam(network, layer, normalize_batch(x, images.preprocessing), classes).cpu()
            for x, classes in batches
        ]
    ).numpy()
    boxes = [None] * len(rows) if images.boxes is None else list(images.boxes)
    covered = np.stack(
        [
            input_coverage(lesion, aspect, model.preprocessing, maps.shape[1], box)
            for lesion, aspect, box in zip(lesions, images.aspects, boxes, strict=True)
        ]
    )
    inside = inside_fractions(maps, covered)
    valid = ~np.isnan(inside)
    area, groups = covered.mean(axis=(1, 2)), rows["group_id"].to_numpy(str)
    attention = LesionAttention(
        layer=layer.name,
        inside=mean_of_images(inside[valid], groups[valid]),
        area=mean_of_images(area[valid], groups[valid]),
        gain=mean_gain(area[valid], inside[valid], groups[valid]),
        masks=sum(lesion.mask is not None for lesion in lesions),
        empty_maps=int((~valid).sum()),
    )
    return attention, None


def inside_fractions(maps: npt.NDArray[np.float32], covered: FloatArray) -> FloatArray:
    """Return the fraction of the sum of each map inside of the lesion, (n,).

    A position of a map counts as a rectangle with a constant value, so that a constant map has
    exactly the fraction of the area.

    Args:
        maps: (n, side, side), values of at least 0.
        covered: Fraction of each position that the lesion covers, (n, side, side).

    Returns:
        Values from 0 to 1; NaN for maps that are zero everywhere.
    """
    values = maps.astype(np.float64)
    total = values.sum(axis=(1, 2))
    inside = (values * covered).sum(axis=(1, 2))
    fractions = np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)
    return fractions.clip(0, 1)  # rounding errors


def input_coverage(
    lesion: Lesion,
    aspect: float,
    preprocessing: Preprocessing,
    side: int,
    box: FloatArray | None = None,
) -> FloatArray:
    """Return the fraction of each cell of the network input that a lesion covers, (side, side).

    The lesion is cropped like the stored square in ``preprocessing.resize_batch``.

    Args:
        lesion: Lesion of the complete image.
        aspect: Width divided by height of the original image.
        preprocessing: Image sizes and resize mode.
        side: Number of cells on each side.
        box: Main lesion, (4,), around which the input is cropped; None without such crops.
    """
    size = preprocessing.stored_image_size
    rows, columns = preprocessing.crop(aspect, None if box is None else box.tolist())
    covered = lesion.coverage(size).astype(np.float64).clip(0, 1)  # (size, size)
    return _cell_weights(rows, size, side) @ covered @ _cell_weights(columns, size, side).T


def _cell_weights(crop: tuple[int, int], size: int, cells: int) -> FloatArray:
    """Return the fraction of each cell that each pixel fills, (cells, size).

    The cells divide the pixels from ``crop[0]`` to ``crop[1]`` into equal intervals.
    """
    edges = np.linspace(*crop, cells + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.asarray(overlap.clip(min=0) * cells / (crop[1] - crop[0]), np.float64)
