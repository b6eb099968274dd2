"""Epoch loop: training and validation, until the last epoch or early stopping."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.core.signals import deferred_interrupt
from skin_lesions.data.loader import ImageDataset, shuffled_batches
from skin_lesions.training import step
from skin_lesions.training.augmentation import sample_augmentations
from skin_lesions.training.best_epoch import finish_epoch, history_table
from skin_lesions.training.callbacks import TrainingCallbacks
from skin_lesions.training.checkpoints import Checkpoint, State
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.schedules import image_size_at
from skin_lesions.training.state import TrainingRun, create_state, resume, state_of

log = logging.getLogger(__name__)


class TrainingResult(NamedTuple):
    """Result of a training.

    Attributes:
        network: Network with the weights of the selected epoch, on the CPU.
        history: One row per epoch.
        environment: Device, precision and number of processes of the training.
    """

    network: nn.Module
    history: pd.DataFrame
    environment: dict[str, Any]


def train(
    train_images: ImageDataset,
    val_images: ImageDataset,
    network: nn.Module,
    recipe: TrainRecipe,
    checkpoint: Checkpoint,
    process_group: ProcessGroup,
) -> TrainingResult:
    """Fine-tune a network and select the epoch that is best on the validation images.

    Args:
        train_images: Images to train on.
        val_images: Images to select the epoch on, by ``recipe.selection_metric``.
        network: Initial network; changed in place.
        recipe: All other settings. Equal recipes, images, initial networks and machines give equal
            weights on the CPU, however often the training was interrupted.
        checkpoint: Checkpoint to resume from. It is written after every epoch and every
            ``recipe.checkpoint_interval_minutes``.
        process_group: Processes that train together; each calls this with the same arguments.

    Raises:
        InputError: The loss is not finite, the GPU memory is too small, or the requested device is
            not available.
        KeyboardInterrupt: Ctrl-C was pressed; the state is saved.
        OSError: The disk is full; the previous checkpoint remains.
    """
    run = create_state(train_images, val_images, network, recipe, process_group)
    resume(run, checkpoint)
    with (
        _seeded(run.device),
        deferred_interrupt() if process_group.is_main_process else nullcontext(bool) as interrupted,
        checkpoint.async_writer() as writer,
        TrainingProgressBar(
            "training",
            recipe.epochs * run.steps,
            done=run.steps_done,
            fraction=run.fraction_done,
            hidden=not process_group.is_main_process,
        ) as progress,
    ):
        callbacks = TrainingCallbacks(run, writer, interrupted, progress)
        while not run.is_over:
            train_epoch(run, callbacks)
            finish_epoch(run)
            callbacks.after_epoch()
    return result(network, recipe, state_of(run))


def result(network: nn.Module, recipe: TrainRecipe, state: State) -> TrainingResult:
    """Return the result of a complete training from its state."""
    network.load_state_dict(state["best_weights"])
    network = network.cpu().requires_grad_(True).to(memory_format=torch.contiguous_format)
    return TrainingResult(
        network, history_table(state["history"], recipe.selection_metric), state["environment"]
    )


def train_epoch(run: TrainingRun, callbacks: TrainingCallbacks) -> None:
    """Run the remaining steps of the current epoch."""
    step.set_trainable_layers(run)
    clock = time.perf_counter()
    for batch in _batches(run):
        torch.manual_seed(_step_seed(run))
        loss = step.optimizer_step(run, batch)
        run.step += 1
        run.seconds, clock = run.seconds + time.perf_counter() - clock, time.perf_counter()
        callbacks.after_step(loss, batch.global_batch_size)
    callbacks.check_losses()
    run.seconds += time.perf_counter() - clock  # of GPU work that was still queued


def _batches(run: TrainingRun) -> Iterator[step.Batch]:
    """Yield the augmented shard of this process for each remaining batch of the epoch."""
    recipe, process_group = run.recipe, run.process_group
    images = run.train_images.with_image_size(image_size_at(run.epoch, recipe))
    n, preprocessing = len(images), images.preprocessing
    augmentations = sample_augmentations(
        n, recipe.seed, run.epoch, recipe.augmentation, preprocessing
    ).to(run.device)
    order = shuffled_batches(
        n,
        recipe.batch_size,
        recipe.seed,
        run.epoch,
        run.sampling_weights,
        process_group.min_batch_size,
    )
    # Position of the first remaining image in the epoch: the row of its augmentation.
    position = sum(len(batch) for batch in order[: run.step])
    remaining = order[run.step :]
    shards = [process_group.shard(len(batch)) for batch in remaining]
    indices = (batch[shard] for batch, shard in zip(remaining, shards, strict=True))
    fetched = images.iter_batches(indices, run.device)
    for batch, shard, (pixels, labels) in zip(remaining, shards, fetched, strict=True):
        rows = slice(position + shard.start, position + shard.stop)
        yield step.make_batch(run, pixels, labels, augmentations[rows], len(batch))
        position += len(batch)


def _step_seed(run: TrainingRun) -> int:
    """Return the seed of dropout and similar layers for this step and this process."""
    sequence = np.random.SeedSequence(
        [run.recipe.seed, run.epoch, run.step, run.process_group.rank]
    )
    return int(sequence.generate_state(1, np.uint64)[0])


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Restore the global random generators on exit."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
