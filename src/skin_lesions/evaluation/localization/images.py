"""Images to localize lesions in, with their annotations and their pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize

if TYPE_CHECKING:
    from skin_lesions.models.localization.lesions import Lesion

Squares = NDArray[np.uint8]
SPLIT_PARTS = {"train": "fit", "val": "fit", "test": "test"}


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalizationImages:
    """Images, and the lesions of those that are annotated.

    Attributes:
        table: One row per image: file, image_id (unique), width, height (pixels), source, group_id
            and split (None for an image without one).
        lesions: Annotated lesions by file.
        read: Function that returns the squares of image_ids, (n, s, s, 3).
        annotation_format: Format of the annotations.
        unusable: Number of annotations that cannot be used.
    """

    table: pd.DataFrame
    lesions: "Mapping[str, Lesion]"
    read: Callable[[Sequence[str]], Squares]
    annotation_format: str
    unusable: int

    @property
    def annotated(self) -> pd.DataFrame:
        """The rows of the annotated images."""
        return self.table[self.table["file"].isin(list(self.lesions))]

    def squares(self, rows: pd.DataFrame) -> Squares:
        """Return the squares of some rows, (n, s, s, 3)."""
        return self.read(rows["image_id"].tolist())

    def lesions_of(self, rows: pd.DataFrame) -> "list[Lesion]":
        """Return the lesions of some annotated rows."""
        return [self.lesions[file] for file in rows["file"]]


@dataclass(frozen=True)
class Part:
    """Annotated images to fit on, and others to test on: their rows."""

    fit: pd.DataFrame
    test: pd.DataFrame


def fold_parts(annotated: pd.DataFrame, folds: int, seed: int) -> list[Part]:
    """Divide annotated images into folds by group; each is tested once.

    Raises:
        InputError: There are fewer than two groups.
    """
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 (takes a second)

    groups = annotated["group_id"].nunique()
    if groups < 2:
        raise InputError(
            f"{pluralize(len(annotated), 'annotated image')} in {pluralize(groups, 'group')}. "
            "Expected at least 2, to fit on one and test on another. Fix: annotate more images"
        )
    splitter = GroupKFold(min(folds, groups), shuffle=True, random_state=seed)
    ordered = annotated.sort_values("file")
    return [
        Part(ordered.iloc[fit], ordered.iloc[test])
        for fit, test in splitter.split(ordered, groups=ordered["group_id"])
    ]


def split_part(annotated: pd.DataFrame) -> Part:
    """Fit on train and val, and test on test.

    Raises:
        InputError: One of them has no annotated image.
    """
    ordered = annotated.sort_values("file")
    role = ordered["split"].map(SPLIT_PARTS)
    part = Part(ordered[role == "fit"], ordered[role == "test"])
    if part.fit.empty or part.test.empty:
        raise InputError(
            f"{pluralize(len(part.fit), 'image')} of train and val and "
            f"{pluralize(len(part.test), 'image')} of test are annotated. Expected 1 or more. "
            "Fix: annotate more images, or use --params localize.evaluation=folds"
        )
    return part
