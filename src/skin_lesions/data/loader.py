"""Batches of images from the memory-mapped pixel store.

The order of the images depends only on the seed and the epoch.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from skin_lesions.core.parallel import ordered_map, usable_cpus
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.preprocessing import resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing

_PREFETCH = 8  # batches that threads read ahead for a GPU


@dataclass(frozen=True)
class ImageDataset:
    """Labeled images of some rows of a split table, read in batches.

    Attributes:
        images: Stored pixels.
        rows: (n,), row of each image in the stored pixels.
        labels: (n,), class indices from 0 to ``num_classes`` - 1.
        num_classes: Number of classes.
        aspects: (n,), width divided by height of the original images.
        preprocessing: Image sizes, and resize mode or margin of the lesion.
        metadata: (n, width) float32, encoded clinical metadata; None for images only.
        boxes: (n, 4), main lesion of each image as fractions; None without crops of lesions.
    """

    images: PixelArray
    rows: npt.NDArray[np.int64]
    labels: torch.Tensor
    num_classes: int
    aspects: npt.NDArray[np.float64]
    preprocessing: Preprocessing
    metadata: torch.Tensor | None = None
    boxes: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def get_batch(self, positions: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images at these positions, uint8 (n, 3, size, size), and labels, (n,)."""
        return self._load_resized(positions), self.labels[torch.from_numpy(positions)]

    def _load_resized(self, positions: npt.NDArray[np.int64]) -> torch.Tensor:
        squares = self.images.read(self.rows[positions])  # (n, stored_size, stored_size, 3)
        return self._resize(squares, positions)

    def _resize(
        self, squares: npt.NDArray[np.uint8], positions: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        """Return the inputs of the stored squares of some positions."""
        boxes = None if self.boxes is None else self.boxes[positions]
        aspects = self.aspects[positions].tolist()
        return resize_batch(squares, aspects, self.preprocessing, boxes)

    def _load_batch(
        self, pool: ThreadPoolExecutor, positions: npt.NDArray[np.int64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch like ``get_batch``; every CPU core loads a chunk of it."""
        size = self.preprocessing.image_size
        images = np.empty((len(positions), size, size, 3), np.uint8)

        def load(chunk: slice) -> None:
            images[chunk] = self._load_resized(positions[chunk]).permute(0, 2, 3, 1).numpy()

        bounds = [len(positions) * core // usable_cpus() for core in range(usable_cpus() + 1)]
        list(pool.map(load, (slice(*ends) for ends in pairwise(bounds) if ends[0] < ends[1])))
        return torch.from_numpy(images).permute(0, 3, 1, 2), self.labels[
            torch.from_numpy(positions)
        ]

    def subset(self, positions: slice) -> "ImageDataset":
        """Return a subset of the images."""
        return replace(
            self,
            rows=self.rows[positions],
            labels=self.labels[positions],
            aspects=self.aspects[positions],
            metadata=None if self.metadata is None else self.metadata[positions],
            boxes=None if self.boxes is None else self.boxes[positions],
        )

    def with_image_size(self, size: int) -> "ImageDataset":
        """Return the same images, resized to another image size (pixels)."""
        return replace(self, preprocessing=replace(self.preprocessing, image_size=size))

    def iter_batches(
        self, batches: Iterable[npt.NDArray[np.int64]], device: torch.device
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the images and labels of each batch of positions, on the device.

        For a GPU, threads read batches ahead, so that it does not wait. On a CPU, threads that read
        ahead would compete with training for the cores. There, all threads load one batch together.
        """
        if device.type == "cpu":
            with ThreadPoolExecutor(usable_cpus()) as pool:
                for positions in batches:
                    yield self._load_batch(pool, positions)
            return
        loaded = ordered_map(lambda positions: _pin(self.get_batch(positions)), batches, _PREFETCH)
        # Only pinned memory is copied asynchronously; other memory could be freed before the copy.
        pinned = device.type == "cuda"
        for images, labels in loaded:
            yield images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def sequential_batches(n_images: int, batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Return positions 0, 1, 2, ... in batches; the last batch may be smaller."""
    return np.split(np.arange(n_images), range(batch_size, n_images, batch_size))


def shuffled_batches(
    n_images: int,
    batch_size: int,
    seed: int,
    epoch: int,
    sampling_weights: npt.NDArray[np.float64] | None = None,
    min_last_batch: int = 2,
) -> list[npt.NDArray[np.int64]]:
    """Return the batches of an epoch, in an order that depends only on seed and epoch.

    Args:
        n_images: Number of images, and of positions in the epoch.
        batch_size: Number of positions in a batch.
        seed: Seed of the recipe.
        epoch: Number of the epoch, counted from 1.
        sampling_weights: (n_images,), relative sampling frequency of each image. With None, each
            image occurs once.
        min_last_batch: Minimum number of positions in the last batch. A smaller remainder is added
            to the previous batch, because a single image has no batch statistics.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(n_images)
    if sampling_weights is not None:
        # Systematic sampling: evenly spaced points on the cumulative weights, with a random offset.
        # Each image occurs weight / mean weight times, randomly rounded up or down. Independent
        # draws would miss some images and repeat others too often.
        bounds = np.cumsum(sampling_weights[order]) / sampling_weights.sum() * n_images
        order = rng.permutation(
            order[np.searchsorted(bounds[:-1], np.arange(n_images) + rng.random())]
        )
    return np.split(order, range(batch_size, n_images + 1 - min_last_batch, batch_size))


def steps_per_epoch(n_images: int, batch_size: int, min_last_batch: int = 2) -> int:
    """Return the number of batches of an epoch."""
    return len(range(batch_size, n_images + 1 - min_last_batch, batch_size)) + 1


def _pin(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    if not torch.cuda.is_available():
        return batch
    return batch[0].pin_memory(), batch[1].pin_memory()


def build_dataset(
    table: pd.DataFrame,
    classes: Sequence[str],
    images: PixelArray,
    preprocessing: Preprocessing,
    metadata: npt.NDArray[np.float32] | None = None,
    boxes: npt.NDArray[np.float64] | None = None,
) -> ImageDataset:
    """Create the dataset of a table with the columns image_id and label.

    The labels of the dataset are indices of ``classes``. ``metadata`` and ``boxes`` have one row
    per image; ``boxes`` are required with ``preprocessing.lesion_margin``.
    """
    ids = table["image_id"]
    size = images.index.reindex(ids)[["width", "height"]].astype(float)
    class_index = {label: index for index, label in enumerate(classes)}
    return ImageDataset(
        images=images,
        rows=images.rows(ids),
        labels=torch.tensor([class_index[label] for label in table["label"]], dtype=torch.long),
        num_classes=len(classes),
        aspects=(size["width"] / size["height"]).to_numpy(),
        preprocessing=preprocessing,
        metadata=None if metadata is None else torch.from_numpy(metadata),
        boxes=boxes,
    )
