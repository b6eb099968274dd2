"""Batches of images from the memory-mapped pixels, in an order that a seed fixes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from skin_lesions.core.parallel import ordered_map, usable_cpus
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.preprocessing import Preprocessing, resize_batch

_PREFETCH = 8  # batches in memory, for a GPU


@dataclass(frozen=True)
class ImageDataset:
    """Some rows of a split table, ready to be fetched in batches.

    ``rows``: where each image lies in the stored pixels; ``labels``: (n,) class numbers, of so many
    ``classes``; ``aspects``: (n,) width over height.
    """

    images: PixelArray
    rows: npt.NDArray[np.int64]
    labels: torch.Tensor
    classes: int
    aspects: npt.NDArray[np.float64]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Fetch images by position: uint8 (n, 3, size, size) and labels (n,)."""
        return self._fitted(chosen), self.labels[torch.from_numpy(chosen)]

    def _fitted(self, chosen: npt.NDArray[np.int64]) -> torch.Tensor:
        squares = self.images.array[self.rows[chosen]]
        return resize_batch(squares, self.aspects[chosen].tolist(), self.preprocessing)

    def _load_batch(
        self, pool: ThreadPoolExecutor, chosen: npt.NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fetch a batch, each core its part."""
        size = self.preprocessing.image_size
        fitted = np.empty((len(chosen), size, size, 3), np.uint8)

        def fit(part: slice) -> None:
            fitted[part] = self._fitted(chosen[part]).permute(0, 2, 3, 1).numpy()

        edges = [len(chosen) * core // usable_cpus() for core in range(usable_cpus() + 1)]
        list(pool.map(fit, (slice(*ends) for ends in pairwise(edges) if ends[0] < ends[1])))
        return torch.from_numpy(fitted).permute(0, 3, 1, 2), self.labels[torch.from_numpy(chosen)]

    def at(self, positions: slice) -> "ImageDataset":
        """Return some of the images."""
        return replace(
            self,
            rows=self.rows[positions],
            labels=self.labels[positions],
            aspects=self.aspects[positions],
        )

    def with_image_size(self, size: int) -> "ImageDataset":
        """Return the same images, fitted to another edge (pixels)."""
        return replace(self, preprocessing=replace(self.preprocessing, image_size=size))

    def iter_batches(
        self, chosen: Iterable[npt.NDArray[np.int64]], device: torch.device
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield batches of these positions, on the device.

        For a GPU, threads read ahead, so that it doesn't wait; on a CPU they would take from the
        computing what they give it, and fetch one batch together instead.
        """
        if device.type == "cpu":
            with ThreadPoolExecutor(usable_cpus()) as pool:
                for positions in chosen:
                    yield self._load_batch(pool, positions)
            return
        read = ordered_map(lambda positions: _pinned(self.batch(positions)), chosen, _PREFETCH)
        pinned = device.type == "cuda"  # what is not must be copied before it is let go
        for images, labels in read:
            yield images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def sequential_batches(images: int, batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Divide positions 0, 1, 2 ... into batches; the last may be smaller."""
    return np.split(np.arange(images), range(batch_size, images, batch_size))


def shuffled_batches(
    images: int,
    batch_size: int,
    seed: int,
    epoch: int,
    sampling_weights: npt.NDArray[np.float64] | None = None,
    min_last_batch: int = 2,
) -> list[npt.NDArray[np.int64]]:
    """Divide an epoch into batches, in an order that only seed and epoch decide.

    Args:
        images: Number of images, and of positions in the epoch.
        batch_size: Positions in a batch.
        seed: Of the recipe.
        epoch: Counted from 1.
        sampling_weights: (images,) how often each is shown relative to the others; None shows each once.
        min_last_batch: Positions that a last batch must have, else they join the batch before: one image
            alone has no batch statistics.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(images)
    if sampling_weights is not None:
        # Evenly spaced marks on the cumulative shares: each image comes its share of times, rounded
        # up or down by chance, where independent draws would miss some and crowd others.
        marks = np.cumsum(sampling_weights[order]) / sampling_weights.sum() * images
        order = rng.permutation(
            order[np.searchsorted(marks[:-1], np.arange(images) + rng.random())]
        )
    return np.split(order, range(batch_size, images + 1 - min_last_batch, batch_size))


def steps_per_epoch(images: int, batch_size: int, min_last_batch: int = 2) -> int:
    """Count the batches of an epoch."""
    return len(range(batch_size, images + 1 - min_last_batch, batch_size)) + 1


def _pinned(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    if not torch.cuda.is_available():
        return batch
    return batch[0].pin_memory(), batch[1].pin_memory()


def build_dataset(
    table: pd.DataFrame, classes: list[str], images: PixelArray, preprocessing: Preprocessing
) -> ImageDataset:
    """Look up the pixels of each row of a table (columns image_id and label)."""
    ids = table["image_id"]
    size = images.index.reindex(ids)[["width", "height"]].astype(float)
    number_of = {label: number for number, label in enumerate(classes)}
    return ImageDataset(
        images=images,
        rows=images.rows(ids),
        labels=torch.tensor([number_of[label] for label in table["label"]], dtype=torch.long),
        classes=len(classes),
        aspects=(size["width"] / size["height"]).to_numpy(),
        preprocessing=preprocessing,
    )
