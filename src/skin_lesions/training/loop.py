"""Epoch loop: training and validation, until the last epoch or early stopping."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.core.signals import deferred_interrupt
from skin_lesions.models.devices import choose_device, training_backend
from skin_lesions.training.batches import augmented_batches
from skin_lesions.training.best_epoch import finish_epoch, history_table
from skin_lesions.training.callbacks import TrainingCallbacks
from skin_lesions.training.checkpoints import Checkpoint, TrainingState
from skin_lesions.training.context import (
    TrainingContext,
    create_context,
    set_trainable_layers,
    wrap_network,
)
from skin_lesions.training.distributed import Forward, ProcessGroup
from skin_lesions.training.job import TrainingJob, TrainingResult
from skin_lesions.training.state import TrainingProgress, resume, training_state
from skin_lesions.training.step import training_step


def train(job: TrainingJob, process_group: ProcessGroup) -> TrainingResult:
    """Fine-tune a network and select the epoch that is best on the validation images.

    Args:
        job: Recipe, images, initial network and checkpoint.
        process_group: Processes that train together; each calls this with an equal job.

    Raises:
        InputError: The loss is not finite, the GPU memory is too small, or the requested device is
            not available.
        KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        OSError: The disk is full; the previous checkpoint remains.
    """
    device = choose_device(job.recipe.device)
    with (
        training_backend(device, keep_memory=job.recipe.keep_freed_memory),
        _preserved_random_state(device),
    ):
        context = create_context(job, process_group, device)
        progress = resume(context, job.checkpoint)
        _run_epochs(context, progress, job.checkpoint)
        return training_result(job, training_state(context, progress))


def training_result(job: TrainingJob, state: TrainingState) -> TrainingResult:
    """Return the result of a complete training from its state."""
    progress = TrainingProgress()
    progress.load_state_dict(state["progress"])
    if progress.best_weights is None:
        raise RuntimeError("The training ended without a complete epoch")
    job.network.load_state_dict(progress.best_weights)
    network = job.network.cpu().requires_grad_(requires_grad=True)
    network = network.to(memory_format=torch.contiguous_format)
    return TrainingResult(
        network=network,
        history=history_table(progress.history, job.recipe.selection_metric),
        environment=state["environment"],
    )


def _run_epochs(
    context: TrainingContext, progress: TrainingProgress, checkpoint: Checkpoint
) -> None:
    """Run the remaining epochs."""
    is_main = context.process_group.is_main_process
    with (
        deferred_interrupt() if is_main else nullcontext(lambda: False) as interrupted,
        checkpoint.async_writer() as writer,
        TrainingProgressBar(
            "training",
            context.total_steps,
            done=progress.steps_done(context),
            fraction=progress.fraction_done(context),
            hidden=not is_main,
        ) as bar,
    ):
        callbacks = TrainingCallbacks(context, progress, writer, interrupted, bar)
        forward: Forward | None = None
        while not progress.is_over(context):
            set_trainable_layers(context, progress.epoch)
            # Wrapped again when the backbone is unfrozen, because DDP must know its parameters.
            if forward is None or progress.epoch == context.frozen_backbone_epochs + 1:
                forward = wrap_network(context)
            train_epoch(context, progress, forward, callbacks)
            finish_epoch(context, progress)
            callbacks.after_epoch()


def train_epoch(
    context: TrainingContext,
    progress: TrainingProgress,
    forward: Forward,
    callbacks: TrainingCallbacks,
) -> None:
    """Run the remaining steps of the current epoch."""
    start = time.perf_counter() - progress.seconds  # as if the epoch had not been interrupted
    for batch in augmented_batches(context, progress.epoch, first_step=progress.step):
        torch.manual_seed(_step_seed(context, progress))
        loss = training_step(context, progress, forward, batch)
        progress.step += 1
        progress.seconds = time.perf_counter() - start
        callbacks.after_step(loss, batch.global_batch_size)
    callbacks.check_losses()
    progress.seconds = time.perf_counter() - start  # with GPU work that was still queued


def _step_seed(context: TrainingContext, progress: TrainingProgress) -> int:
    """Return the seed of dropout and similar layers for this step and this process."""
    sequence = np.random.SeedSequence(
        [context.recipe.seed, progress.epoch, progress.step, context.process_group.rank]
    )
    return int(sequence.generate_state(1, np.uint64)[0])


@contextmanager
def _preserved_random_state(device: torch.device) -> Iterator[None]:
    """Restore the global random generators on exit."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
