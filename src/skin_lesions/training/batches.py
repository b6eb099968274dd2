"""Augmented batches of an epoch, sharded between the processes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import one_hot

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import shuffled_batches
from skin_lesions.models.devices import device_label
from skin_lesions.training.augmentation import (
    AugmentationParams,
    apply_augmentations,
    sample_augmentations,
)
from skin_lesions.training.context import TrainingContext
from skin_lesions.training.schedules import image_size_at


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Shard of this process of a batch, augmented, on the device.

    Attributes:
        inputs: (n, 3, size, size), normalized.
        targets: (n, classes), the fraction of each class.
        labels: (n,), class indices before mixing.
        metadata: (n, width), mixed like the targets; None for images only.
        global_batch_size: Number of images of the batch in all processes.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    global_batch_size: int
    metadata: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, num_parts: int) -> "list[Batch]":
        """Split the shard into parts of about equal size."""
        without: list[torch.Tensor | None] = [None] * num_parts
        parts = zip(
            self.inputs.tensor_split(num_parts),
            self.targets.tensor_split(num_parts),
            self.labels.tensor_split(num_parts),
            without if self.metadata is None else self.metadata.tensor_split(num_parts),
            strict=True,
        )
        return [
            replace(self, inputs=inputs, targets=targets, labels=labels, metadata=metadata)
            for inputs, targets, labels, metadata in parts
        ]


def augmented_batches(context: TrainingContext, epoch: int, first_step: int) -> Iterator[Batch]:
    """Yield the batches of an epoch from ``first_step`` (counted from 0) on.

    Raises:
        InputError: The GPU memory is too small.
    """
    recipe = context.recipe
    images = context.train_images.with_image_size(image_size_at(epoch, recipe))
    # One row per position in the epoch, in the order of the batches.
    augmentations = sample_augmentations(
        len(images), recipe.seed, epoch, recipe.augmentation, images.preprocessing
    ).to(context.device)
    order = shuffled_batches(
        len(images),
        recipe.batch_size,
        recipe.seed,
        epoch,
        context.sampling_weights,
        context.process_group.min_batch_size,
    )
    metadata = _metadata_of_positions(context, epoch, np.concatenate(order))
    position = sum(len(batch) for batch in order[:first_step])  # of the first remaining image
    remaining = order[first_step:]
    shards = [context.process_group.shard(len(batch)) for batch in remaining]
    indices = (batch[shard] for batch, shard in zip(remaining, shards, strict=True))
    loaded = images.iter_batches(indices, context.device)
    for batch, shard, (pixels, labels) in zip(remaining, shards, loaded, strict=True):
        rows = slice(position + shard.start, position + shard.stop)
        yield augment_batch(
            context,
            pixels,
            labels,
            augmentations[rows],
            metadata=None if metadata is None else metadata[rows],
            global_batch_size=len(batch),
        )
        position += len(batch)


def _metadata_of_positions(
    context: TrainingContext, epoch: int, order: npt.NDArray[np.int64]
) -> torch.Tensor | None:
    """Return the metadata of each position in the epoch, (n, width), on the device.

    Some images lose all of their metadata, so that the network learns to work without them. The
    choice depends on seed, epoch and position, like the augmentation.
    """
    metadata = context.train_images.metadata
    if metadata is None:
        return None
    # 0 and 1 are the streams of the image order and of the augmentation.
    draws = np.random.default_rng([context.recipe.seed, epoch, 2]).random((len(order), 1))
    kept = torch.from_numpy(draws >= context.recipe.metadata_dropout)
    return (metadata[torch.from_numpy(order)] * kept).to(context.device)


def augment_batch(
    context: TrainingContext,
    images: torch.Tensor,
    labels: torch.Tensor,
    augmentations: AugmentationParams,
    *,
    metadata: torch.Tensor | None = None,
    global_batch_size: int,
) -> Batch:
    """Augment the shard of this process, uint8 (n, 3, size, size), of a batch.

    Mixup and CutMix mix the metadata, (n, width), in the same proportion as the targets.

    Raises:
        InputError: The GPU memory is too small.
    """
    classes = context.train_images.num_classes
    targets = one_hot(labels, classes).float()
    if metadata is not None:
        targets = torch.cat([targets, metadata], dim=1)  # (n, classes + width)
    try:
        inputs, targets = apply_augmentations(images, targets, augmentations)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"{device_label(context.device)} has too little memory to augment {len(images)} images "
            f"of {images.shape[-1]} pixels at once. "
            f"Fix: --params train.batch_size={context.recipe.batch_size // 2}"
        ) from None
    return Batch(
        inputs=inputs.contiguous(memory_format=context.memory_format),
        targets=targets[:, :classes],
        labels=labels,
        metadata=None if metadata is None else targets[:, classes:],
        global_batch_size=global_batch_size,
    )
