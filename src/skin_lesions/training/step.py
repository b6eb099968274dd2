"""One step: a batch, its gradients, and the optimizer."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn.functional import one_hot

from skin_lesions.core.errors import InputError
from skin_lesions.models.devices import describe
from skin_lesions.models.networks import head
from skin_lesions.models.precision import autocast
from skin_lesions.training.augmentation import Changes, augmented
from skin_lesions.training.optimizers import set_rates
from skin_lesions.training.schedules import decay_in, learning_rate_factor, momentum
from skin_lesions.training.state import Run, memory_format


def choose_what_learns(run: Run) -> None:
    """Set what this epoch teaches: all layers, or at first the head alone."""
    head_only = run.epoch <= run.head_epochs
    run.network.train(not head_only)  # what does not learn keeps its batch statistics too
    run.network.requires_grad_(not head_only)
    head(run.network).train().requires_grad_(True)
    if run.forward is run.network or run.epoch == run.head_epochs + 1:
        compiled = run.recipe.compile and run.device.type == "cuda"
        network = cast(nn.Module, torch.compile(run.network)) if compiled else run.network
        run.forward = run.world.joint(network, run.device)


@dataclass(frozen=True)
class Batch:
    """What a step learns from: this process's part of ``whole`` images."""

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    whole: int

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, parts: int) -> "list[Batch]":
        """Divide it into about equal parts."""
        tensors = (self.inputs, self.targets, self.labels)
        inputs, targets, labels = (tensor.tensor_split(parts) for tensor in tensors)
        split = zip(inputs, targets, labels, strict=True)
        return [Batch(*part, whole=self.whole) for part in split]


def batch_of(
    run: Run, images: torch.Tensor, labels: torch.Tensor, changes: Changes, whole: int
) -> Batch:
    """Augment this process's images of a step of ``whole`` images.

    Raises:
        InputError: The memory of the GPU is too small.
    """
    targets = one_hot(labels, run.train_images.classes).float()
    try:
        inputs, targets = augmented(images, targets, changes)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the memory of {describe(run.device)} is too small to augment {len(images)} images of "
            f"{images.shape[-1]} pixels at once: --params train.batch_size={run.recipe.batch_size // 2}"
        ) from None
    inputs = inputs.contiguous(memory_format=memory_format(run.recipe))
    return Batch(inputs, targets, labels, whole)


def update(run: Run, batch: Batch) -> torch.Tensor:
    """Take one step of the optimizer; return the loss of the whole batch, on the device.

    Raises:
        InputError: The memory of the GPU is too small; says what would fit.
    """
    try:
        return _updated(run, batch)
    except torch.cuda.OutOfMemoryError:
        pass  # what the error holds on to is let go only outside of this block
    raise InputError(
        _too_large(run, len(batch), batch.inputs.shape[-1], _fitting_parts(run, batch))
    )


def _updated(run: Run, batch: Batch) -> torch.Tensor:
    recipe = run.recipe
    sums = run.world.add_up(gradients(run, batch, recipe.accumulation))
    run.sums += sums
    _set_rates(run)
    if recipe.optimizer.clip_norm is not None:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), recipe.optimizer.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None and recipe.average_decay is not None:
        run.average.update(decay_in(run.steps_done, recipe.average_decay))
    return sums[0] / batch.whole


def _set_rates(run: Run) -> None:
    before = run.head_epochs * run.steps
    if run.steps_done < before:
        return  # the head alone learns at its peak rate
    position = run.steps_done - before, run.recipe.epochs * run.steps - before
    schedule = run.recipe.schedule
    set_rates(
        run.optimizer, learning_rate_factor(*position, schedule), momentum(*position, schedule)
    )


def _fitting_parts(run: Run, batch: Batch) -> int | None:
    """Return in how many parts the batch would fit, None where two images are too many.

    Of several processes, which can't try without each other, twice as many as now are worth a try.
    """
    parts = 2 * run.recipe.accumulation
    if run.world.size > 1:
        return parts
    most = len(batch) // 2  # one image alone has no batch statistics
    while run.recipe.accumulation < most:
        parts = min(parts, most)
        torch.cuda.empty_cache()
        try:
            gradients(run, batch, parts)
        except torch.cuda.OutOfMemoryError:
            if parts == most:
                break
            parts *= 2
        else:
            return parts
    return None


def _too_large(run: Run, images: int, size: int, parts: int | None) -> str:
    told = (
        f"the memory of {describe(run.device)} is too small for steps of {images} images of "
        f"{size} pixels in {run.recipe.accumulation} parts; "
    )
    if parts is None:
        return f"{told}not even 2 images fit: lower train.image_size or take a smaller network"
    return (
        f"{told}{'these fit' if run.world.size == 1 else 'try'}: --params train.accumulation={parts} "
        f"(the same batches in {parts} parts) or --params "
        f"train.batch_size={math.ceil(run.recipe.batch_size / parts)}"
    )


def gradients(run: Run, batch: Batch, parts: int) -> torch.Tensor:
    """Add up the gradients of a batch, part by part.

    Returns:
        The sums of this process's losses and right answers, on the device.
    """
    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros_like(run.sums)
    split = batch.split(min(parts, run.world.most_parts(batch.whole)))
    for part in split:
        with run.world.in_parts(run.forward, part is split[-1]):
            with autocast(run.device, run.precision):
                logits = run.forward(part.inputs)
            loss = run.loss(logits.float(), part.targets) * len(part)
            # Processes take the mean of their gradients; what is wanted is that of all images.
            run.scaler.scale(loss * (run.world.size / batch.whole)).backward()
        right = (logits.detach().argmax(dim=1) == part.labels).sum()
        sums += torch.stack([loss.detach(), right])
    return sums
