"""Training overlap: external images that a model was trained or selected on, in any form.

Equal files are found by their image_id, which the model file contains. Near-duplicates are found
only if the training images are on this machine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS
from skin_lesions.data.near_duplicates import find_near_duplicates
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import ImageSequence
from skin_lesions.data.pixel_store import PixelArray, Pixels
from skin_lesions.data.raw_store import ObjectStore

OverlapKind = Literal[
    "image_id",
    "identical_pixels",
    "near_duplicate_simple",
    "near_duplicate_transformed",
    "same_group",
]
# The strongest kind comes first: an image is listed once, with this kind.
_ORDER = ("image_id", *NEAR_DUPLICATE_KINDS.values())


class OverlappingImage(BaseModel):
    """An external image that is left out.

    Attributes:
        file: The external file.
        image_id: Its image_id.
        kind: ``image_id`` (equal bytes), a kind of near-duplicate, or ``same_group`` for an image
            that shares a group with another image of this list.
        strength: 1 for equal bytes or pixels, otherwise as in ``image_links``.
        training_image_id: The training or validation image.
        training_split: Its split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    image_id: str
    kind: OverlapKind
    strength: float
    training_image_id: str
    training_split: Literal["train", "val"]


class TrainingOverlap(VersionedModel):
    """External images that overlap with the training and validation images of a model.

    Attributes:
        model_version: Version of the model.
        external_image_table_version: Version of the table of external images.
        training_images: Number of training and validation images of the model.
        originals_compared: Number of these that were compared as original images.
        squares_compared: Number of these that were compared as stored squares, because their
            originals are not on this machine.
        images: The external images that are left out, sorted by file.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_version: str
    external_image_table_version: str
    training_images: int
    originals_compared: int
    squares_compared: int
    images: tuple[OverlappingImage, ...]

    @property
    def compared(self) -> int:
        """Number of training and validation images in the near-duplicate search."""
        return self.originals_compared + self.squares_compared

    @property
    def files(self) -> set[str]:
        """The files that are left out."""
        return {image.file for image in self.images}

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each kind, in the order of the kinds."""
        found = Counter[str](image.kind for image in self.images)
        return {kind: found[kind] for kind in (*_ORDER, "same_group") if kind in found}


@dataclass(frozen=True)
class TrainingImages:
    """The training and validation images of a model that are on this machine.

    Attributes:
        splits: ``train`` or ``val`` of each image_id.
        originals: The image_ids with an original image.
        squares: The image_ids with only a stored square.
        store: The original images.
        pixels: The stored squares.
    """

    splits: Mapping[str, Literal["train", "val"]]
    originals: tuple[str, ...]
    squares: tuple[str, ...]
    store: ObjectStore
    pixels: PixelArray

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The image_ids of all images that can be compared."""
        return (*self.originals, *self.squares)


def locate_training_images(
    train: Sequence[str], val: Sequence[str], store: ObjectStore, pixels: PixelArray
) -> TrainingImages:
    """Find the training and validation images of a model on this machine.

    Args:
        train: image_id of each training image.
        val: image_id of each validation image.
        store: Store of the original images; it need not exist.
        pixels: Stored squares; they need not exist.
    """
    splits: dict[str, Literal["train", "val"]] = dict.fromkeys(val, "val")
    splits |= dict.fromkeys(train, "train")
    originals = tuple(image_id for image_id in splits if store.path(image_id).exists())
    stored = pixels.index.index[pixels.index["row"] >= 0]
    squares = set(splits).difference(originals).intersection(stored)
    return TrainingImages(splits, originals, tuple(sorted(squares)), store, pixels)


@dataclass(frozen=True)
class _Concatenated:
    """Several sequences of images as one."""

    parts: tuple[ImageSequence, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, number: int) -> Pixels:
        for part in self.parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise IndexError(number)


def search_near_duplicates(
    image_ids: Sequence[str], store: ObjectStore, training: TrainingImages
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Search near-duplicates among external images, and of training images in them.

    Args:
        image_ids: Distinct image_ids of the external images.
        store: The external images.
        training: The training images.

    Returns:
        The pairs of external images, as ``find_near_duplicates`` returns them.

        The pairs with a training image: image_id, training_image_id, kind and strength.
    """
    from skin_lesions.data.original_images import OriginalImages  # noqa: PLC0415 (torch)

    max_area = DEFAULT_CONFIG.detection_size**2
    known = training.image_ids
    images = _Concatenated(
        (
            OriginalImages(store, image_ids, max_area),
            OriginalImages(training.store, training.originals, max_area),
            training.pixels.subset(training.squares),
        )
    )
    pairs = find_near_duplicates(images)
    n = len(image_ids)
    within = pairs[pairs["b"] < n].reset_index(drop=True)
    across = pairs[(pairs["a"] < n) & (pairs["b"] >= n)]
    ids = np.array([*image_ids, *known], dtype=object)
    found = pd.DataFrame(
        {
            "image_id": ids[across["a"].to_numpy(int)],
            "training_image_id": ids[across["b"].to_numpy(int)],
            "kind": across["kind"].map(NEAR_DUPLICATE_KINDS).to_numpy(),
            "strength": across["strength"].to_numpy(),
        }
    )
    return within, found


def overlapping_images(
    table: pd.DataFrame,
    image_groups: pd.DataFrame,
    pairs: pd.DataFrame,
    splits: Mapping[str, Literal["train", "val"]],
) -> tuple[OverlappingImage, ...]:
    """List the external images that overlap with the training and validation images.

    An image that shares a group with an overlapping image, such as another image of the lesion, is
    listed too: it is not independent of the training.

    Args:
        table: External images: file and image_id.
        image_groups: group_id of each of these files.
        pairs: Pairs with training images, from ``search_near_duplicates``.
        splits: Split of each training and validation image.
    """
    equal = table.loc[table["image_id"].isin(list(splits)), ["image_id"]].drop_duplicates()
    equal = equal.assign(training_image_id=equal["image_id"], kind="image_id", strength=1.0)
    links = pd.concat([equal, pairs], ignore_index=True)
    # The strongest link comes first: by kind, then by strength.
    links = links.assign(rank=links["kind"].map(_ORDER.index)).sort_values(
        ["rank", "strength", "training_image_id"], ascending=[True, False, True]
    )
    direct = links.drop_duplicates("image_id").set_index("image_id")
    rows = table[["file", "image_id"]].merge(image_groups[["file", "group_id"]], on="file")
    linked = rows[rows["image_id"].isin(direct.index)].join(direct, on="image_id")
    # The other images of a group get the strongest link of the group.
    of_group = linked.sort_values(["rank", "strength", "file"], ascending=[True, False, True])
    of_group = of_group.drop_duplicates("group_id").set_index("group_id")
    others = rows[rows["group_id"].isin(of_group.index) & ~rows["file"].isin(linked["file"])]
    others = others.join(of_group[["training_image_id", "strength"]], on="group_id")
    found = pd.concat([linked, others.assign(kind="same_group")]).sort_values("file")
    fields = ["file", "image_id", "kind", "strength", "training_image_id"]
    return tuple(
        OverlappingImage.model_validate(row | {"training_split": splits[row["training_image_id"]]})
        for row in found[fields].to_dict(orient="records")
    )
