"""One step: a batch, its gradients, and the optimizer."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import one_hot

from skin_lesions.augmentation import Draws, augmented
from skin_lesions.devices import describe
from skin_lesions.errors import InputError
from skin_lesions.networks import head
from skin_lesions.optimizers import set_rates
from skin_lesions.precision import autocast
from skin_lesions.schedules import decay_in, learning_rate_factor, momentum
from skin_lesions.training.run import Run, memory_format


def choose_what_learns(run: Run) -> None:
    """Set what this epoch teaches: all layers, or at first the head alone."""
    head_only = run.epoch <= run.head_epochs
    run.network.train(not head_only)  # what does not learn keeps its batch statistics too
    run.network.requires_grad_(not head_only)
    head(run.network).train().requires_grad_(True)
    if run.forward is run.network or run.epoch == run.head_epochs + 1:
        joint = run.world.joint(run.network, run.device)
        compiled = run.recipe.compile and run.device.type == "cuda"
        run.forward = torch.compile(joint) if compiled else joint


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
        """Divide it into about equal parts of two images or more."""
        parts = max(1, min(parts, len(self) // 2))  # one image alone has no batch statistics
        tensors = (self.inputs, self.targets, self.labels)
        inputs, targets, labels = (tensor.tensor_split(parts) for tensor in tensors)
        split = zip(inputs, targets, labels, strict=True)
        return [Batch(*part, whole=self.whole) for part in split]


def batch_of(run: Run, images: torch.Tensor, labels: torch.Tensor, drawn: Draws) -> Batch:
    """Augment the images of a step; ``drawn`` are the chances of the whole batch."""
    recipe, ours = run.recipe, run.train_images
    targets = one_hot(labels, ours.classes).float()
    chances = drawn[run.world.part(len(drawn))]
    inputs, targets = augmented(images, targets, chances, recipe.augmentation, ours.preprocessing)
    inputs = inputs.contiguous(memory_format=memory_format(recipe))
    return Batch(inputs, targets, labels, len(drawn))


def update(run: Run, batch: Batch) -> torch.Tensor:
    """Take one step of the optimizer; return the loss of the whole batch, on the device."""
    recipe = run.recipe
    loss = _fitting_gradients(run, batch)
    _set_rates(run)
    if recipe.optimizer.clip_norm is not None:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), recipe.optimizer.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None and recipe.average_decay is not None:
        run.average.update(decay_in(run.steps_done, recipe.average_decay))
    return loss


def _set_rates(run: Run) -> None:
    before = run.head_epochs * run.steps
    if run.steps_done < before:
        return  # the head alone learns at its peak rate
    position = run.steps_done - before, run.recipe.epochs * run.steps - before
    schedule = run.recipe.schedule
    set_rates(
        run.optimizer, learning_rate_factor(*position, schedule), momentum(*position, schedule)
    )


def _fitting_gradients(run: Run, batch: Batch) -> torch.Tensor:
    """Compute the gradients of a batch; where memory is too small, say what would fit."""
    try:
        sums = gradients(run, batch, run.recipe.accumulation)
    except torch.cuda.OutOfMemoryError:
        pass  # what the error holds on to is let go only outside of this block
    else:
        run.sums += run.world.add_up(sums)
        return sums[0] / batch.whole
    parts = run.recipe.accumulation * 2
    run.forward = run.network  # other processes take no part in what follows
    while len(batch) >= 2 * parts:
        torch.cuda.empty_cache()
        try:
            gradients(run, batch, parts)
        except torch.cuda.OutOfMemoryError:
            parts *= 2
        else:
            raise InputError(_too_large(run, batch.inputs, parts))
    raise InputError(_too_large(run, batch.inputs, None))


def _too_large(run: Run, inputs: torch.Tensor, parts: int | None) -> str:
    told = (
        f"the memory of {describe(run.device)} is too small for steps of {len(inputs)} images of "
        f"{inputs.shape[-1]} pixels in {run.recipe.accumulation} parts; "
    )
    if parts is None:
        return f"{told}not even 2 images fit: lower train.image_size or take a smaller network"
    return (
        f"{told}these fit: --params train.accumulation={parts} (the same batches in {parts} parts) "
        f"or --params train.batch_size={math.ceil(run.recipe.batch_size / parts)}"
    )


def gradients(run: Run, batch: Batch, parts: int) -> torch.Tensor:
    """Add up the gradients of a batch, part by part.

    Returns:
        The sums of this process's losses and right answers, on the device.
    """
    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros_like(run.sums)
    split = batch.split(parts)
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
