"""Boxes and masks of annotated images from localizers that were not fitted on them.

This module imports torch.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.evaluation.localization.compute import LocalizationTables
from skin_lesions.evaluation.localization.images import LocalizationImages, Part, Squares
from skin_lesions.evaluation.localization.model import Method
from skin_lesions.metrics.localization import mask_iou
from skin_lesions.models.localization.boxes import Localization
from skin_lesions.models.localization.lesions import Lesion
from skin_lesions.models.localization.localizer import (
    LocalizerSettings,
    fit_localizer,
    localize,
)
from skin_lesions.models.localization.localizer_model import Localizer

log = logging.getLogger(__name__)

BASELINES: tuple[Method, ...] = ("mean_box", "whole_image")
WITH_MASKS = ("dense", "cam")
_CORNERS = ["x0", "y0", "x1", "y1"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """The classifier whose features are used.

    Attributes:
        network: Its network.
        architecture: Its architecture.
        preprocessing: Its preprocessing.
        device: Device of the computation.
    """

    network: nn.Module
    architecture: str
    preprocessing: Preprocessing
    device: torch.device

    def fit(
        self, rows: pd.DataFrame, images: LocalizationImages, settings: LocalizerSettings
    ) -> Localizer:
        """Fit a localizer to annotated rows."""
        return fit_localizer(
            self.network,
            images.squares(rows),
            images.lesions_of(rows),
            settings,
            architecture=self.architecture,
            preprocessing=self.preprocessing,
            device=self.device,
        )

    def localize(
        self, localizer: Localizer, squares: Squares, batch_size: int
    ) -> list[Localization]:
        """Find the lesions of squares, (n, s, s, 3)."""
        return localize(localizer, self.network, squares, batch_size=batch_size, device=self.device)


def localize_parts(
    parts: Sequence[Part],
    images: LocalizationImages,
    classifier: Classifier,
    settings: LocalizerSettings,
    fitted: Localizer | None = None,
) -> LocalizationTables:
    """Fit the method and the baselines on each part, and localize its test images.

    Args:
        parts: Images to fit on and to test on.
        images: All images.
        classifier: The classifier.
        settings: The method and its settings.
        fitted: Localizer that was fitted with these settings on the only part; it is not fitted
            again.

    Returns:
        The predicted and the true boxes of the test images of all parts, and the IoU of the masks.
    """
    methods = [settings.method, *(name for name in BASELINES if name != settings.method)]
    boxes, overlaps = [], []
    for number, part in enumerate(parts, start=1):
        squares, lesions = images.squares(part.test), images.lesions_of(part.test)
        for method in methods:
            if fitted is not None and method == settings.method:
                localizer = fitted
            else:
                localizer = classifier.fit(part.fit, images, replace(settings, method=method))
            found = classifier.localize(localizer, squares, settings.batch_size)
            boxes.append(boxes_table(part.test, found).assign(method=method))
            if method in WITH_MASKS:
                overlaps.append(_mask_overlaps(part.test, found, lesions, localizer))
        log.info(
            "Part %d of %d: fitted on %d images, tested on %d",
            number,
            len(parts),
            len(part.fit),
            len(part.test),
        )
    tested = pd.concat([part.test for part in parts])
    true = [
        pd.DataFrame(lesion.boxes, columns=_CORNERS).assign(image_id=image_id)
        for image_id, lesion in zip(tested["image_id"], images.lesions_of(tested), strict=True)
    ]
    masks = pd.concat(overlaps, ignore_index=True) if overlaps else pd.DataFrame()
    return LocalizationTables(
        predicted=pd.concat(boxes, ignore_index=True),
        true=pd.concat(true, ignore_index=True),
        images=tested[["image_id", "file", "group_id", "source"]].reset_index(drop=True),
        mask_iou=None if masks.empty else masks,
    )


def boxes_table(rows: pd.DataFrame, found: Sequence[Localization]) -> pd.DataFrame:
    """Return one row per box: file, image_id, width, height, x0, y0, x1, y1 and score."""
    counts = [len(result.boxes) for result in found]
    repeated = rows[["file", "image_id", "width", "height"]].loc[rows.index.repeat(counts)]
    boxes = np.concatenate([np.clip(result.boxes, 0, 1) for result in found])
    table = repeated.reset_index(drop=True)
    table[_CORNERS] = boxes
    return table.assign(score=np.concatenate([result.scores for result in found]))


def _mask_overlaps(
    rows: pd.DataFrame,
    found: Sequence[Localization],
    lesions: Sequence[Lesion],
    localizer: Localizer,
) -> pd.DataFrame:
    """Return the IoU of predicted and true masks, at the resolution of the true ones."""
    overlaps = []
    for image_id, result, lesion in zip(rows["image_id"], found, lesions, strict=True):
        if lesion.mask is not None:
            height, width = lesion.mask.shape
            probabilities = cv2.resize(result.probabilities, (width, height))
            predicted = np.asarray(probabilities >= (localizer.threshold or 0.0))
            overlaps.append((image_id, mask_iou(predicted, lesion.mask)))
    table = pd.DataFrame(overlaps, columns=["image_id", "iou"])
    return table.assign(method=localizer.method)
