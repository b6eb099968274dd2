"""One training step, and the error if the GPU memory is too small for it."""

import math

import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.models.devices import device_label
from skin_lesions.models.precision import autocast
from skin_lesions.training.batches import Batch
from skin_lesions.training.context import TrainingContext
from skin_lesions.training.distributed import Forward
from skin_lesions.training.optimizers import set_learning_rates
from skin_lesions.training.schedules import ema_decay_at, learning_rate_factor, momentum
from skin_lesions.training.state import TrainingProgress


def optimizer_step(
    context: TrainingContext,
    progress: TrainingProgress,
    forward: Forward,
    batch: Batch,
    accumulation_steps: int,
) -> torch.Tensor:
    """Update the weights with a batch, in at most ``accumulation_steps`` parts.

    Returns:
        The mean loss of the global batch, on the device.
    """
    recipe = context.recipe
    process_group = context.process_group
    steps_done = progress.steps_done(context)

    frozen_steps = context.frozen_backbone_epochs * context.steps_per_epoch
    if steps_done >= frozen_steps:  # before, only the head is trained, at its base rate
        position = steps_done - frozen_steps
        steps = context.total_steps - frozen_steps
        set_learning_rates(
            context.optimizer,
            factor=learning_rate_factor(position, steps, recipe.schedule),
            momentum=momentum(position, steps, recipe.schedule),
        )

    context.optimizer.zero_grad(set_to_none=True)
    # (2,): sums over the images of this process of the loss and of correct predictions.
    sums = torch.zeros_like(progress.epoch_totals)
    max_parts = process_group.max_accumulation_steps(batch.global_batch_size)
    parts = batch.split(min(accumulation_steps, max_parts))
    for part in parts:
        with process_group.gradient_sync(forward, enabled=part is parts[-1]):
            with autocast(context.device, context.precision):
                inputs = (part.inputs,) if part.metadata is None else (part.inputs, part.metadata)
                logits = forward(*inputs)  # (images, classes)
            loss_sum = context.loss(logits.float(), part.targets) * len(part)
            # DDP averages gradients over processes. Multiplying the sum of losses by
            # processes / global_batch_size makes that the gradient of the mean over all images.
            weighted = loss_sum * (process_group.size / batch.global_batch_size)
            context.scaler.scale(weighted).backward()
        correct = (logits.detach().argmax(dim=1) == part.labels).sum()
        sums += torch.stack([loss_sum.detach(), correct])
    process_group.all_reduce_sum(sums)  # now over the images of all processes

    if recipe.optimizer.max_grad_norm is not None:
        context.scaler.unscale_(context.optimizer)  # the norm is that of the unscaled gradients
        nn.utils.clip_grad_norm_(context.network.parameters(), recipe.optimizer.max_grad_norm)
    context.scaler.step(context.optimizer)
    context.scaler.update()
    if context.ema is not None and recipe.ema_decay is not None:
        context.ema.update(ema_decay_at(steps_done, recipe.ema_decay))

    progress.epoch_totals += sums
    return sums[0] / batch.global_batch_size


def training_step(
    context: TrainingContext, progress: TrainingProgress, forward: Forward, batch: Batch
) -> torch.Tensor:
    """Take an optimizer step as in the recipe; return the mean loss of the global batch.

    Raises:
        InputError: The GPU memory is too small; the message proposes smaller settings.
    """
    accumulation_steps = context.recipe.gradient_accumulation_steps
    try:
        return optimizer_step(context, progress, forward, batch, accumulation_steps)
    except torch.cuda.OutOfMemoryError:
        pass  # the error references tensors, whose memory is released only outside of this block
    fitting = _find_fitting_accumulation(context, progress, forward, batch)
    raise InputError(_out_of_memory_message(context, batch, fitting))


def _find_fitting_accumulation(
    context: TrainingContext, progress: TrainingProgress, forward: Forward, batch: Batch
) -> int | None:
    """Return the accumulation steps with which the batch fits, None if two images do not fit.

    The attempts change the weights, but the training ends with an error in any case. Several
    processes cannot test this independently of each other. For them, return twice the current
    number without a test.
    """
    steps = 2 * context.recipe.gradient_accumulation_steps
    if context.process_group.size > 1:
        return steps
    max_steps = len(batch) // 2  # one image has no batch statistics
    while context.recipe.gradient_accumulation_steps < max_steps:
        steps = min(steps, max_steps)
        torch.cuda.empty_cache()
        try:
            optimizer_step(context, progress, forward, batch, steps)
        except torch.cuda.OutOfMemoryError:
            if steps == max_steps:
                break
            steps *= 2
        else:
            return steps
    return None


def _out_of_memory_message(context: TrainingContext, batch: Batch, fitting: int | None) -> str:
    recipe = context.recipe
    problem = (
        f"{device_label(context.device)} has too little memory for steps of {len(batch)} images of "
        f"{batch.inputs.shape[-1]} pixels "
        f"(train.gradient_accumulation_steps={recipe.gradient_accumulation_steps}). "
    )
    if fitting is None:
        return (
            f"{problem}Even 2 images do not fit. Fix: reduce train.image_size or choose a smaller "
            "network"
        )
    is_tested = context.process_group.size == 1
    return (
        f"{problem}Fix ({'tested' if is_tested else 'not tested'}): "
        f"--params train.gradient_accumulation_steps={fitting} "
        f"(the same batches in {fitting} steps) or --params "
        f"train.batch_size={math.ceil(recipe.batch_size / fitting)}"
    )
