"""Computation of the localization results from tables of boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.provenance import LocalizationProvenance
from skin_lesions.evaluation.localization.model import (
    Box,
    LocalizationResults,
    Method,
    MethodScores,
    WorstImage,
)
from skin_lesions.metrics.intervals import Estimate, proportion, unavailable
from skin_lesions.metrics.localization import (
    Bools,
    Floats,
    ImageBoxes,
    average_precisions,
    mean_gain,
    mean_of_images,
    thresholded_jaccard,
    top_box_iou,
)

CORNERS = ["x0", "y0", "x1", "y1"]
BASELINE: Method = "mean_box"
NO_MASKS = "the method has no masks"
ONE_BOX = "no image has several true boxes"
NO_INTERVAL = "average precision has no interval"
_TOLERANCE = 1e-6  # fraction of the image that a box may be outside by rounding


@dataclass(frozen=True, kw_only=True)
class LocalizationTables:
    """Tables of boxes and images. Coordinates are fractions of width and height of the image.

    Attributes:
        predicted: One row per image, method and predicted box: image_id, method, x0, y0, x1, y1,
            score. Scores are compared within a method.
        true: One row per true box: image_id, x0, y0, x1, y1. Each image has at least one.
        images: One row per image: image_id, file, group_id, source.
        mask_iou: IoU of the masks, one row per image and method: image_id, method, iou. None if
            there are no masks.
    """

    predicted: pd.DataFrame
    true: pd.DataFrame
    images: pd.DataFrame
    mask_iou: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        """Check the tables.

        Raises:
            InputError: A column is missing, a box or an IoU is invalid, an image is unknown or
                repeated, or it has no true box.
        """
        _check_columns("images", self.images, ["image_id", "file", "group_id", "source"])
        if self.images.empty or self.images["image_id"].duplicated().any():
            raise InputError(
                f"The table of images has {pluralize(len(self.images), 'row')} and "
                f"{self.images['image_id'].nunique():,} different image_ids. Expected one row per "
                "image, at least one. Fix: remove repeated images"
            )
        _check_columns("predicted boxes", self.predicted, ["image_id", "method", *CORNERS, "score"])
        _check_columns("true boxes", self.true, ["image_id", *CORNERS])
        for name, table in (("predicted boxes", self.predicted), ("true boxes", self.true)):
            _check_images(name, table, self.images)
            _check_boxes(name, table)
        if not np.isfinite(self.predicted["score"].to_numpy(np.float64)).all():
            raise InputError(
                "The table of predicted boxes has scores that are not finite. Expected a number "
                "in each row. Fix: give each box a score, such as 1"
            )
        absent = self.images.loc[~self.images["image_id"].isin(self.true["image_id"]), "file"]
        if len(absent):
            raise InputError(
                f"{pluralize(len(absent), 'image')} (e.g. {printable(str(absent.iloc[0]))}) "
                "without a true box. Expected at least one for each image. Fix: leave these images "
                "out, or add their boxes"
            )
        if self.mask_iou is not None:
            _check_mask_iou(self.mask_iou, self.images)


def _check_columns(name: str, table: pd.DataFrame, expected: Sequence[str]) -> None:
    missing = [column for column in expected if column not in table]
    if missing:
        raise InputError(
            f"The table of {name} has no column {', '.join(missing)}. Expected the columns "
            f"{', '.join(expected)}. Fix: add the missing columns"
        )


def _check_images(name: str, table: pd.DataFrame, images: pd.DataFrame) -> None:
    unknown = table.loc[~table["image_id"].isin(images["image_id"]), "image_id"].unique()
    if len(unknown):
        raise InputError(
            f"The table of {name} has {pluralize(len(unknown), 'image')} (e.g. "
            f"{printable(str(unknown[0]))}) that the table of images does not have. Expected the "
            "same image_ids. Fix: use tables of the same images"
        )


def _check_boxes(name: str, table: pd.DataFrame) -> None:
    boxes = table[CORNERS].to_numpy(np.float64)
    start, end = boxes[:, :2], boxes[:, 2:]
    # Comparisons with NaN are false, so that a missing number is invalid too.
    valid = (start >= -_TOLERANCE) & (end <= 1 + _TOLERANCE) & (start <= end)
    if name == "true boxes":
        valid &= start < end
    invalid = np.flatnonzero(~valid.all(axis=1))
    if invalid.size:
        first = table.iloc[invalid[0]]
        numbers = ", ".join(f"{first[corner]:g}" for corner in CORNERS)
        raise InputError(
            f"The table of {name} has {pluralize(invalid.size, 'invalid box', 'invalid boxes')} "
            f"(e.g. {numbers} of image {printable(str(first['image_id']))}). Expected x0 < x1 and "
            "y0 < y1 from 0 to 1. Fix: divide pixels by width and height, and clip at the border"
        )


def _check_mask_iou(table: pd.DataFrame, images: pd.DataFrame) -> None:
    _check_columns("mask IoUs", table, ["image_id", "method", "iou"])
    _check_images("mask IoUs", table, images)
    invalid = int((~table["iou"].between(0.0, 1.0)).sum())
    repeated = int(table.duplicated(["image_id", "method"]).sum())
    if invalid or repeated:
        raise InputError(
            f"The table of mask IoUs has {invalid:,} values outside of 0 to 1 and {repeated:,} "
            "repeated rows. Expected one IoU per image and method. Fix: correct these rows"
        )


@dataclass(frozen=True, kw_only=True)
class _MethodBoxes:
    """The boxes of a method on n images.

    Attributes:
        boxes: Predicted and true boxes of each image.
        iou: The IoU of each image, (n,), result of ``top_box_iou``.
        mask_iou: The IoU of the masks of each image, (n,); NaN without a mask.
    """

    boxes: tuple[ImageBoxes, ...]
    iou: Floats
    mask_iou: Floats


def compute_localization(
    tables: LocalizationTables,
    *,
    methods: Sequence[Method],
    trained: Method,
    min_images: int,
    max_worst: int,
    provenance: LocalizationProvenance,
) -> LocalizationResults:
    """Compute how well each method localizes the lesions.

    Args:
        tables: Boxes and images.
        methods: The methods that were evaluated, in the order of the results. A method without a
            box for an image has an IoU of 0 there.
        trained: The method that is compared with a fixed box; one of ``methods``.
        min_images: Smallest number of images of a source with results of its own.
        max_worst: Largest number of images with a low IoU in the results.
        provenance: Recorded in the result.

    Raises:
        InputError: A table has a method that is not in ``methods``, or ``trained`` is not.
    """
    _check_methods(tables, methods, trained)
    images = tables.images.reset_index(drop=True)
    found = {method: _boxes_of_method(tables, images, method) for method in methods}
    group = images["group_id"].to_numpy(str)
    source = images["source"].to_numpy(str)
    names, counts = np.unique(source, return_counts=True)
    large = names[(counts >= min_images) & (names.size > 1)]

    def scores(selected: Bools) -> dict[Method, MethodScores]:
        return {method: _scores(found, method, group, selected) for method in methods}

    return LocalizationResults(
        provenance=provenance,
        trained=trained,
        methods=scores(np.ones(len(images), np.bool_)),
        sources={str(name): scores(source == name) for name in large},
        min_images=min_images,
        worst=_worst_images(found, images, trained, max_worst),
    )


def _check_methods(tables: LocalizationTables, methods: Sequence[Method], trained: Method) -> None:
    used = {trained, *tables.predicted["method"]}
    if tables.mask_iou is not None:
        used |= set(tables.mask_iou["method"])
    unknown = sorted(str(method) for method in used if method not in methods)
    if unknown:
        raise InputError(
            f"Unknown methods of localization ({', '.join(map(printable, unknown))}). Expected "
            f"some of {', '.join(methods)}. Fix: correct the column method"
        )


def _boxes_of_method(
    tables: LocalizationTables, images: pd.DataFrame, method: Method
) -> _MethodBoxes:
    predicted = tables.predicted[tables.predicted["method"] == method]
    predicted_rows, true_rows = _rows_by_image(predicted), _rows_by_image(tables.true)
    corners = predicted[CORNERS].to_numpy(np.float64)
    scores = predicted["score"].to_numpy(np.float64)
    true = tables.true[CORNERS].to_numpy(np.float64)
    none = np.zeros(0, np.intp)
    boxes = tuple(
        ImageBoxes(
            predicted=corners[predicted_rows.get(image, none)],
            scores=scores[predicted_rows.get(image, none)],
            true=true[true_rows[image]],
        )
        for image in images["image_id"]
    )
    mask_iou = pd.Series(dtype=np.float64)
    if tables.mask_iou is not None:
        of_method = tables.mask_iou[tables.mask_iou["method"] == method]
        mask_iou = of_method.set_index("image_id")["iou"]
    return _MethodBoxes(
        boxes=boxes,
        iou=np.array([top_box_iou(image) for image in boxes]),
        mask_iou=mask_iou.reindex(images["image_id"]).to_numpy(np.float64),
    )


def _rows_by_image(table: pd.DataFrame) -> Mapping[object, np.ndarray]:
    """Return the positions of the rows of each image, in the order of the table."""
    return cast("Mapping[object, np.ndarray]", table.groupby("image_id", sort=False).indices)


def _scores(
    found: Mapping[Method, _MethodBoxes],
    method: Method,
    group: np.ndarray,
    selected: Bools,
) -> MethodScores:
    """Return the scores of a method on the selected images, (n,)."""
    own, groups = found[method], group[selected]
    boxes = [own.boxes[row] for row in np.flatnonzero(selected)]
    iou = own.iou[selected]
    ap_50, map_50_95 = _average_precisions(boxes)
    return MethodScores(
        images=iou.size,
        groups=np.unique(groups).size,
        without_box=sum(not len(image.predicted) for image in boxes),
        iou=mean_of_images(iou, groups),
        at_50=proportion(iou >= 0.5, groups),
        at_70=proportion(iou >= 0.7, groups),
        thresholded_jaccard=_thresholded_jaccard(own.mask_iou[selected], groups),
        ap_50=ap_50,
        map_50_95=map_50_95,
        gain=_gain(found, method, groups, selected),
    )


def _thresholded_jaccard(mask_iou: Floats, groups: np.ndarray) -> Estimate:
    known = ~np.isnan(mask_iou)
    if not known.any():
        return unavailable(NO_MASKS)
    return mean_of_images(thresholded_jaccard(mask_iou[known]), groups[known])


def _average_precisions(boxes: Sequence[ImageBoxes]) -> tuple[Estimate, Estimate]:
    """Return AP50 and mAP50-95."""
    n = len(boxes)
    if all(len(image.true) == 1 for image in boxes):
        return unavailable(ONE_BOX, n), unavailable(ONE_BOX, n)
    values = average_precisions(boxes)
    ap_50, mean = (
        Estimate(value=value, low=None, high=None, n=n, reason=NO_INTERVAL)
        for value in (float(values[0]), float(values.mean()))
    )
    return ap_50, mean


def _gain(
    found: Mapping[Method, _MethodBoxes], method: Method, groups: np.ndarray, selected: Bools
) -> Estimate:
    if method == BASELINE:
        return unavailable("the fixed box is the baseline")
    if BASELINE not in found:
        return unavailable("a fixed box was not evaluated")
    return mean_gain(found[BASELINE].iou[selected], found[method].iou[selected], groups)


def _worst_images(
    found: Mapping[Method, _MethodBoxes], images: pd.DataFrame, trained: Method, limit: int
) -> tuple[WorstImage, ...]:
    """Return the images with the lowest IoU; of equal ones, the first by file name."""
    order = images.assign(iou=found[trained].iou).sort_values(["iou", "file"]).head(limit)
    return tuple(
        WorstImage(
            image_id=str(row["image_id"]),
            file=str(row["file"]),
            source=str(row["source"]),
            iou=float(row["iou"]),
            true=tuple(map(_box, found[trained].boxes[number].true)),
            predicted=_top_box(found[trained].boxes[number]),
            mean_box=_top_box(found[BASELINE].boxes[number]) if BASELINE in found else None,
        )
        for number, (_, row) in zip(order.index, order.iterrows(), strict=True)
    )


def _top_box(image: ImageBoxes) -> Box | None:
    """Return the predicted box of the highest score."""
    return _box(image.predicted[np.argmax(image.scores)]) if len(image.predicted) else None


def _box(corners: Floats) -> Box:
    x0, y0, x1, y1 = corners.tolist()
    return x0, y0, x1, y1
