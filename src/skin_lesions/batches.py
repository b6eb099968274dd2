"""Batches of images from the memory-mapped pixels, in an order that a seed fixes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from skin_lesions.pixels import SquareImages
from skin_lesions.preprocessing import Preprocessing, resized


@dataclass(frozen=True)
class LabelledImages:
    """Some rows of a split table, ready to be fetched in batches.

    ``rows``: where each image lies in the stored pixels; ``labels``: (n,) class numbers;
    ``aspects``: (n,) width over height.
    """

    images: SquareImages
    rows: npt.NDArray[np.int64]
    labels: torch.Tensor
    aspects: npt.NDArray[np.float64]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Fetch images by position: uint8 (n, 3, size, size) and labels (n,)."""
        squares = self.images.array[self.rows[chosen]]
        fitted = resized(squares, self.aspects[chosen].tolist(), self.preprocessing)
        return fitted, self.labels[torch.from_numpy(chosen)]

    def in_order(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield all images once, as they stand in the table."""
        for start in range(0, len(self), batch_size):
            yield self.batch(np.arange(start, min(start + batch_size, len(self))))

    def shuffled(
        self, batch_size: int, seed: int, epoch: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield all images once, in an order that only seed and epoch decide."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        # A last batch of one image has no batch statistics: it joins the one before.
        ends = list(range(batch_size, len(self) - 1, batch_size))
        for chosen in np.split(order, ends):
            yield self.batch(chosen)


def labelled_images(
    table: pd.DataFrame, classes: list[str], images: SquareImages, preprocessing: Preprocessing
) -> LabelledImages:
    """Look up the pixels of each row of a table (columns image_id and label)."""
    ids = table["image_id"]
    size = images.index.reindex(ids)[["width", "height"]].astype(float)
    number_of = {label: number for number, label in enumerate(classes)}
    return LabelledImages(
        images=images,
        rows=images.rows(ids),
        labels=torch.tensor([number_of[label] for label in table["label"]], dtype=torch.long),
        aspects=(size["width"] / size["height"]).to_numpy(),
        preprocessing=preprocessing,
    )
