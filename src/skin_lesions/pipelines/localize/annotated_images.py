"""Images and their annotations for the pipeline `localize`.

This module imports torch.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.config.localize import Localize
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.annotations import Annotations, boxes_of_mask, read_annotations
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.sources.synthetic import render_mask
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.data.unlabeled_folder import read_unlabeled_folder
from skin_lesions.evaluation.localization.images import LocalizationImages, Squares
from skin_lesions.models.localization.lesions import Lesion

log = logging.getLogger(__name__)

_MASK_SIZE = 256  # largest width and height of the masks in memory, pixels
_EXPECTED = "Expected a folder of masks, YOLO or VOC files, or a COCO file or CSV table"
_MAX_LISTED = 10  # problems of annotations in the log


def folder_images(
    folder: str, annotations: str, localize: Localize, size: int
) -> LocalizationImages:
    """Return the images of a folder with their annotations.

    Args:
        folder: ``localize.images``.
        annotations: ``localize.annotations``.
        localize: The other parameters.
        size: Width and height of the squares, pixels.

    Raises:
        InputError: The folder or the annotations cannot be used.
    """
    images = read_unlabeled_folder(
        Path(folder).resolve(),
        size,
        filename_pattern=localize.filename_pattern,
        follow_symlinks=localize.follow_symlinks,
        option="localize.follow_symlinks=true",
    )
    return _with_annotations(images.table.assign(split=None), images.read, annotations)


def own_images(
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    split_table: SplitTable,
    pixels: PixelArray,
    localize: Localize,
) -> LocalizationImages:
    """Return the images of the image table with their annotations.

    Raises:
        InputError: The annotations cannot be used, or there are none.
    """
    columns = ["file", "image_id", "width", "height", "source"]
    table = image_table.frame[columns].drop_duplicates("image_id")
    table = table.merge(image_groups[["file", "group_id"]], on="file", validate="one_to_one")
    table = table.merge(split_table.frame[["file", "split"]], on="file", how="left")

    def read(image_ids: Sequence[str]) -> Squares:
        return pixels.read(pixels.rows(image_ids))

    if localize.annotations is not None:
        return _with_annotations(table, read, localize.annotations)
    origin = image_table.provenance.origin
    if origin.kind != "demo" or origin.seed is None:
        raise InputError(
            "localize.annotations is not set, and only synthetic images have masks of their own. "
            f"{_EXPECTED}. Fix: --params localize.annotations=/path"
        )
    masks = {file: render_mask(file, origin.seed) for file in table["file"]}
    lesions = {
        file: Lesion(boxes=boxes_of_mask(mask), mask=_reduced(mask))
        for file, mask in masks.items()
        if mask is not None
    }
    return LocalizationImages(
        table=table, lesions=lesions, read=read, annotation_format="synthetic", unusable=0
    )


def _with_annotations(
    table: pd.DataFrame, read: Callable[[Sequence[str]], Squares], annotations: str
) -> LocalizationImages:
    found = read_annotations(Path(annotations).resolve(), table)
    _log_problems(found)
    lesions = {
        file: Lesion(
            boxes=entry.boxes,
            mask=None if entry.mask_path is None else _reduced(entry.read_mask()),
        )
        for file, entry in found.lesions.items()
    }
    return LocalizationImages(
        table=table,
        lesions=lesions,
        read=read,
        annotation_format=found.format,
        unusable=len(found.problems),
    )


def _log_problems(found: Annotations) -> None:
    for problem in found.problems[:_MAX_LISTED]:
        log.warning("Annotation %s: %s", printable(problem.place), printable(problem.reason))
    if len(found.problems) > _MAX_LISTED:
        log.warning(
            "%s more cannot be used",
            pluralize(len(found.problems) - _MAX_LISTED, "annotation"),
        )


def _reduced(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask at no more than ``_MASK_SIZE`` pixels; a pixel is at least half covered."""
    height, width = mask.shape
    size = (min(width, _MASK_SIZE), min(height, _MASK_SIZE))
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # A lesion of less than half a pixel keeps the pixel that it covers most.
    return np.asarray(covered >= min(0.5, float(covered.max())))
