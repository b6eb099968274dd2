"""The loop: epochs of steps, each judged on the validation images, until the last or the patience is through."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn.functional import cross_entropy

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.core.signals import deferred_interrupt
from skin_lesions.data.loader import ImageDataset, shuffled_batches
from skin_lesions.models.inference import predict_logits
from skin_lesions.training import step
from skin_lesions.training.augmentation import sample_augmentations
from skin_lesions.training.checkpoints import Checkpoint, State, snapshot
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.monitor import TrainingMonitor, check_finite
from skin_lesions.training.optimizers import max_learning_rate
from skin_lesions.training.schedules import image_size_at
from skin_lesions.training.state import TrainingRun, create_state, resume, state_of

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What a training gives.

    ``network``: of the best epoch, on the CPU; ``history``: one row per epoch; ``computed``: the
    device, the precision and the number of processes that it was computed with.
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
) -> Trained:
    """Fine-tune a network and keep the epoch that is best on the validation images.

    Args:
        train_images: What is learned from.
        val_images: What the epoch is chosen by, ``recipe.selection_metric``.
        network: Where it starts from; changed in place.
        recipe: Everything else; equal recipes, images, starts and machines give equal weights on
            the CPU, however often the training was broken off.
        checkpoint: Where to go on from, and to keep the state after every epoch and every
            ``recipe.checkpoint_interval_minutes``.
        process_group: The processes that do it together; each calls this with the same arguments.

    Raises:
        InputError: The loss is not a finite number; the GPU's memory is too small; the device asked
            for is not there.
        KeyboardInterrupt: Ctrl-C; the state is kept.
        OSError: The disk is full; the state before is kept.
    """
    run = create_state(train_images, val_images, network, recipe, process_group)
    resume(run, checkpoint)
    with (
        _seeded(run.device),
        deferred_interrupt() if process_group.is_main_process else nullcontext(bool) as interrupted,
        checkpoint.async_writer() as saver,
        TrainingProgressBar(
            "training",
            recipe.epochs * run.steps,
            done=run.steps_done,
            share=run.fraction_done,
            hidden=not process_group.is_main_process,
        ) as progress,
    ):
        monitor_ = TrainingMonitor(run, saver, interrupted, progress)
        while not run.is_over:
            train_epoch(run, monitor_)
            _finish_epoch(run)
            monitor_.after_epoch()
    return result(network, recipe, state_of(run))


def result(network: nn.Module, recipe: TrainRecipe, state: State) -> Trained:
    """Take from its state what a training that is over has given."""
    network.load_state_dict(state["best_weights"])
    network = network.cpu().requires_grad_(True).to(memory_format=torch.contiguous_format)
    return Trained(
        network, _history(state["history"], recipe.selection_metric), state["environment"]
    )


def train_epoch(run: TrainingRun, monitor_: TrainingMonitor) -> None:
    """Go through the rest of an epoch's steps."""
    step.set_trainable_layers(run)
    clock = time.perf_counter()
    for batch in _batches(run):
        torch.manual_seed(_step_seed(run))
        loss = step.optimizer_step(run, batch)
        run.step += 1
        run.seconds, clock = run.seconds + time.perf_counter() - clock, time.perf_counter()
        monitor_.after_step(loss, batch.global_batch_size)
    monitor_.check_losses()
    run.seconds += time.perf_counter() - clock  # what a GPU still had to do


def _batches(run: TrainingRun) -> Iterator[step.Batch]:
    """Yield this process's part of each batch that is left of the epoch, augmented."""
    recipe, process_group = run.recipe, run.process_group
    images = run.train_images.with_image_size(image_size_at(run.epoch, recipe))
    n, preprocessing = len(images), images.preprocessing
    drawn = sample_augmentations(n, recipe.seed, run.epoch, recipe.augmentation, preprocessing).to(
        run.device
    )
    order = shuffled_batches(
        n,
        recipe.batch_size,
        recipe.seed,
        run.epoch,
        run.sampling_weights,
        process_group.min_batch_size,
    )
    place = sum(len(batch) for batch in order[: run.step])
    left = order[run.step :]
    parts = [process_group.shard(len(batch)) for batch in left]
    ours = (batch[part] for batch, part in zip(left, parts, strict=True))
    fetched = images.iter_batches(ours, run.device)
    for whole, part, (pixels, labels) in zip(left, parts, fetched, strict=True):
        rows = slice(place + part.start, place + part.stop)
        yield step.make_batch(run, pixels, labels, drawn[rows], len(whole))
        place += len(whole)


def _finish_epoch(run: TrainingRun) -> None:
    """Judge the epoch, take note of it, and go to the next.

    Raises:
        InputError: The last step spoilt the weights, whose loss no other step has seen.
    """
    start = time.perf_counter()
    judged = validate(run)
    check_finite(run, judged["val_loss"], "validation loss", max_learning_rate(run.optimizer))
    mean_loss, right = (run.epoch_totals / len(run.train_images)).tolist()
    record = {
        "epoch": run.epoch,
        "image_size": image_size_at(run.epoch, run.recipe),
        "learning_rate": max_learning_rate(run.optimizer),
        "train_loss": mean_loss,
        "train_accuracy": right,
        **judged,
        "seconds": run.seconds + time.perf_counter() - start,
        "images_per_second": len(run.train_images) / run.seconds,
    }
    run.history.append(record)
    if record[f"val_{run.recipe.selection_metric}"] > run.best_value:
        run.best_value = record[f"val_{run.recipe.selection_metric}"]
        run.best_weights = snapshot(run.eval_network.state_dict())
    if run.process_group.is_main_process:
        _log_epoch(record, run.recipe.epochs)
    run.epoch, run.step, run.seconds = run.epoch + 1, 0, 0.0
    run.epoch_totals.zero_()


def validate(run: TrainingRun) -> dict[str, float]:
    """Predict the validation images, each process its part, and score them."""
    judged, process_group, images = run.eval_network, run.process_group, run.val_images
    process_group.broadcast_buffers(judged)
    ours = images.at(process_group.shard(len(images)))
    logits = np.concatenate(
        process_group.all_gather(
            predict_logits(judged, ours, 2 * run.recipe.batch_size, run.device, run.precision)
        )
    )
    labels = images.labels.numpy()
    predicted = logits.argmax(axis=1)
    loss = cross_entropy(torch.from_numpy(logits), images.labels)
    return {
        "val_loss": float(loss),
        "val_accuracy": float(np.mean(predicted == labels)),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
    }


def _history(records: list[dict[str, Any]], selection_metric: str) -> pd.DataFrame:
    history = pd.DataFrame(records)
    return history.assign(best=history.index == history[f"val_{selection_metric}"].idxmax())


def _log_epoch(record: dict[str, Any], epochs: int) -> None:
    log.info(
        "epoch %d/%d: loss %.3f, validation loss %.3f, accuracy %.3f, balanced accuracy %.3f "
        "(%.0f s, %.0f images/s)",
        record["epoch"],
        epochs,
        record["train_loss"],
        record["val_loss"],
        record["val_accuracy"],
        record["val_balanced_accuracy"],
        record["seconds"],
        record["images_per_second"],
    )


def _step_seed(run: TrainingRun) -> int:
    """Return what dropout and its like are drawn from in this step, in this process."""
    sequence = np.random.SeedSequence(
        [run.recipe.seed, run.epoch, run.step, run.process_group.rank]
    )
    return int(sequence.generate_state(1, np.uint64)[0])


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Leave the global generators as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
