"""One step: a batch, its gradients, and the optimizer."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn.functional import one_hot

from skin_lesions.core.errors import InputError
from skin_lesions.models.devices import device_label
from skin_lesions.models.networks import classifier_head
from skin_lesions.models.precision import autocast
from skin_lesions.training.augmentation import AugmentationParams, apply_augmentations
from skin_lesions.training.optimizers import set_learning_rates
from skin_lesions.training.schedules import ema_decay_at, learning_rate_factor, momentum
from skin_lesions.training.state import TrainingRun, memory_format


def set_trainable_layers(run: TrainingRun) -> None:
    """Set what this epoch teaches: all layers, or at first the head alone."""
    head_only = run.epoch <= run.frozen_backbone_epochs
    run.network.train(not head_only)  # what does not learn keeps its batch statistics too
    run.network.requires_grad_(not head_only)
    classifier_head(run.network).train().requires_grad_(True)
    if run.forward is run.network or run.epoch == run.frozen_backbone_epochs + 1:
        compiled = run.recipe.compile and run.device.type == "cuda"
        network = cast(nn.Module, torch.compile(run.network)) if compiled else run.network
        run.forward = run.process_group.wrap_ddp(network, run.device)


@dataclass(frozen=True)
class Batch:
    """What a step learns from: this process's part of ``whole`` images."""

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    global_batch_size: int

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, parts: int) -> "list[Batch]":
        """Divide it into about equal parts."""
        tensors = (self.inputs, self.targets, self.labels)
        inputs, targets, labels = (tensor.tensor_split(parts) for tensor in tensors)
        split = zip(inputs, targets, labels, strict=True)
        return [Batch(*part, global_batch_size=self.global_batch_size) for part in split]


def make_batch(
    run: TrainingRun,
    images: torch.Tensor,
    labels: torch.Tensor,
    changes: AugmentationParams,
    global_batch_size: int,
) -> Batch:
    """Augment this process's images of a step of ``whole`` images.

    Raises:
        InputError: The memory of the GPU is too small.
    """
    targets = one_hot(labels, run.train_images.classes).float()
    try:
        inputs, targets = apply_augmentations(images, targets, changes)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the memory of {device_label(run.device)} is too small to augment {len(images)} images of "
            f"{images.shape[-1]} pixels at once: --params train.batch_size={run.recipe.batch_size // 2}"
        ) from None
    inputs = inputs.contiguous(memory_format=memory_format(run.recipe))
    return Batch(inputs, targets, labels, global_batch_size)


def optimizer_step(run: TrainingRun, batch: Batch) -> torch.Tensor:
    """Take one step of the optimizer; return the loss of the whole batch, on the device.

    Raises:
        InputError: The memory of the GPU is too small; says what would fit.
    """
    try:
        return _updated(run, batch)
    except torch.cuda.OutOfMemoryError:
        pass  # what the error holds on to is let go only outside of this block
    raise InputError(
        _out_of_memory_message(
            run, len(batch), batch.inputs.shape[-1], _find_fitting_accumulation(run, batch)
        )
    )


def _updated(run: TrainingRun, batch: Batch) -> torch.Tensor:
    recipe = run.recipe
    sums = run.process_group.all_reduce_sum(
        gradients(run, batch, recipe.gradient_accumulation_steps)
    )
    run.epoch_totals += sums
    _set_rates(run)
    if recipe.optimizer.max_grad_norm is not None:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), recipe.optimizer.max_grad_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.ema is not None and recipe.ema_decay is not None:
        run.ema.update(ema_decay_at(run.steps_done, recipe.ema_decay))
    return sums[0] / batch.global_batch_size


def _set_rates(run: TrainingRun) -> None:
    before = run.frozen_backbone_epochs * run.steps
    if run.steps_done < before:
        return  # the head alone learns at its peak rate
    position = run.steps_done - before, run.recipe.epochs * run.steps - before
    schedule = run.recipe.schedule
    set_learning_rates(
        run.optimizer, learning_rate_factor(*position, schedule), momentum(*position, schedule)
    )


def _find_fitting_accumulation(run: TrainingRun, batch: Batch) -> int | None:
    """Return in how many parts the batch would fit, None where two images are too many.

    Of several processes, which can't try without each other, twice as many as now are worth a try.
    """
    parts = 2 * run.recipe.gradient_accumulation_steps
    if run.process_group.size > 1:
        return parts
    most = len(batch) // 2  # one image alone has no batch statistics
    while run.recipe.gradient_accumulation_steps < most:
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


def _out_of_memory_message(run: TrainingRun, images: int, size: int, parts: int | None) -> str:
    told = (
        f"the memory of {device_label(run.device)} is too small for steps of {images} images of "
        f"{size} pixels in {run.recipe.gradient_accumulation_steps} parts; "
    )
    if parts is None:
        return f"{told}not even 2 images fit: lower train.image_size or take a smaller network"
    return (
        f"{told}{'these fit' if run.process_group.size == 1 else 'try'}: --params train.gradient_accumulation_steps={parts} "
        f"(the same batches in {parts} parts) or --params "
        f"train.batch_size={math.ceil(run.recipe.batch_size / parts)}"
    )


def gradients(run: TrainingRun, batch: Batch, parts: int) -> torch.Tensor:
    """Add up the gradients of a batch, part by part.

    Returns:
        The sums of this process's losses and right answers, on the device.
    """
    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros_like(run.epoch_totals)
    split = batch.split(
        min(parts, run.process_group.max_accumulation_steps(batch.global_batch_size))
    )
    for part in split:
        with run.process_group.no_sync(run.forward, part is split[-1]):
            with autocast(run.device, run.precision):
                logits = run.forward(part.inputs)
            loss = run.loss(logits.float(), part.targets) * len(part)
            # Processes take the mean of their gradients; what is wanted is that of all images.
            run.scaler.scale(loss * (run.process_group.size / batch.global_batch_size)).backward()
        right = (logits.detach().argmax(dim=1) == part.labels).sum()
        sums += torch.stack([loss.detach(), right])
    return sums
