"""One optimizer step: batch, gradient accumulation and weight update."""

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
    """Set the trainable layers of this epoch: all layers, or only the head in the first epochs."""
    head_only = run.epoch <= run.frozen_backbone_epochs
    run.network.train(not head_only)  # frozen layers keep their batch statistics
    run.network.requires_grad_(not head_only)
    classifier_head(run.network).train().requires_grad_(True)
    # DDP registers hooks only for trainable parameters: wrap again when the backbone is unfrozen.
    if run.forward is run.network or run.epoch == run.frozen_backbone_epochs + 1:
        compiled = run.recipe.compile and run.device.type == "cuda"
        network = cast(nn.Module, torch.compile(run.network)) if compiled else run.network
        run.forward = run.process_group.wrap_ddp(network, run.device)


@dataclass(frozen=True)
class Batch:
    """Shard of this process of a batch with ``global_batch_size`` images in all processes."""

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    global_batch_size: int

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, num_parts: int) -> "list[Batch]":
        """Split the shard into parts of about equal size."""
        tensors = (self.inputs, self.targets, self.labels)
        inputs, targets, labels = (tensor.tensor_split(num_parts) for tensor in tensors)
        parts = zip(inputs, targets, labels, strict=True)
        return [Batch(*part, global_batch_size=self.global_batch_size) for part in parts]


def make_batch(
    run: TrainingRun,
    images: torch.Tensor,
    labels: torch.Tensor,
    augmentations: AugmentationParams,
    global_batch_size: int,
) -> Batch:
    """Augment the shard of this process of a batch with ``global_batch_size`` images.

    Raises:
        InputError: The GPU memory is too small.
    """
    targets = one_hot(labels, run.train_images.num_classes).float()
    try:
        inputs, targets = apply_augmentations(images, targets, augmentations)
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"{device_label(run.device)} has too little memory to augment {len(images)} images of "
            f"{images.shape[-1]} pixels at once. "
            f"Fix: --params train.batch_size={run.recipe.batch_size // 2}"
        ) from None
    inputs = inputs.contiguous(memory_format=memory_format(run.recipe))
    return Batch(inputs, targets, labels, global_batch_size)


def optimizer_step(run: TrainingRun, batch: Batch) -> torch.Tensor:
    """Take one optimizer step and return the mean loss of the global batch, on the device.

    Raises:
        InputError: The GPU memory is too small; the message proposes smaller settings.
    """
    try:
        return _update_weights(run, batch)
    except torch.cuda.OutOfMemoryError:
        pass  # the error references tensors, whose memory is released only outside of this block
    raise InputError(
        _out_of_memory_message(
            run, len(batch), batch.inputs.shape[-1], _find_fitting_accumulation(run, batch)
        )
    )


def _update_weights(run: TrainingRun, batch: Batch) -> torch.Tensor:
    recipe = run.recipe
    sums = run.process_group.all_reduce_sum(
        gradients(run, batch, recipe.gradient_accumulation_steps)
    )
    run.epoch_totals += sums
    _apply_schedule(run)
    if recipe.optimizer.max_grad_norm is not None:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), recipe.optimizer.max_grad_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.ema is not None and recipe.ema_decay is not None:
        run.ema.update(ema_decay_at(run.steps_done, recipe.ema_decay))
    return sums[0] / batch.global_batch_size


def _apply_schedule(run: TrainingRun) -> None:
    frozen_steps = run.frozen_backbone_epochs * run.steps
    if run.steps_done < frozen_steps:
        return  # only the head is trained, at its base rate
    position = run.steps_done - frozen_steps, run.recipe.epochs * run.steps - frozen_steps
    schedule = run.recipe.schedule
    set_learning_rates(
        run.optimizer, learning_rate_factor(*position, schedule), momentum(*position, schedule)
    )


def _find_fitting_accumulation(run: TrainingRun, batch: Batch) -> int | None:
    """Return the accumulation steps with which the batch fits, None if two images do not fit.

    Several processes cannot test this independently of each other. For them, return twice the
    current number without a test.
    """
    steps = 2 * run.recipe.gradient_accumulation_steps
    if run.process_group.size > 1:
        return steps
    max_steps = len(batch) // 2  # one image has no batch statistics
    while run.recipe.gradient_accumulation_steps < max_steps:
        steps = min(steps, max_steps)
        torch.cuda.empty_cache()
        try:
            gradients(run, batch, steps)
        except torch.cuda.OutOfMemoryError:
            if steps == max_steps:
                break
            steps *= 2
        else:
            return steps
    return None


def _out_of_memory_message(run: TrainingRun, images: int, size: int, steps: int | None) -> str:
    problem = (
        f"{device_label(run.device)} has too little memory for steps of {images} images of {size} "
        f"pixels (train.gradient_accumulation_steps={run.recipe.gradient_accumulation_steps}). "
    )
    if steps is None:
        return (
            f"{problem}Even 2 images do not fit. Fix: reduce train.image_size or choose a smaller "
            "network"
        )
    return (
        f"{problem}Fix ({'tested' if run.process_group.size == 1 else 'not tested'}): "
        f"--params train.gradient_accumulation_steps={steps} "
        f"(the same batches in {steps} steps) or --params "
        f"train.batch_size={math.ceil(run.recipe.batch_size / steps)}"
    )


def gradients(run: TrainingRun, batch: Batch, accumulation_steps: int) -> torch.Tensor:
    """Accumulate the gradients of a batch over at most ``accumulation_steps`` parts.

    Returns:
        (2,): sums over the images of this process of the loss and of correct predictions, on the
        device.
    """
    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros_like(run.epoch_totals)
    parts = batch.split(
        min(accumulation_steps, run.process_group.max_accumulation_steps(batch.global_batch_size))
    )
    for part in parts:
        with run.process_group.no_sync(run.forward, part is parts[-1]):
            with autocast(run.device, run.precision):
                logits = run.forward(part.inputs)
            loss = run.loss(logits.float(), part.targets) * len(part)
            # DDP averages gradients over processes. Multiplying the sum of losses by
            # processes / global_batch_size makes that the gradient of the mean over all images.
            run.scaler.scale(loss * (run.process_group.size / batch.global_batch_size)).backward()
        correct = (logits.detach().argmax(dim=1) == part.labels).sum()
        sums += torch.stack([loss.detach(), correct])
    return sums
