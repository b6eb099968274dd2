"""The training loop: recipe and images -> weights and what happened on the way."""

import copy
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn.functional import cross_entropy

from skin_lesions.augmentation import flip_and_turn
from skin_lesions.batches import LabelledImages
from skin_lesions.console import StepProgress
from skin_lesions.devices import choose_device, describe
from skin_lesions.inference import autocast, predict_logits
from skin_lesions.parameters import TrainRecipe
from skin_lesions.preprocessing import normalised

log = logging.getLogger(__name__)


@dataclass
class _Run:
    """What one training holds while it goes on."""

    recipe: TrainRecipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    device: torch.device


def train(
    train_images: LabelledImages,
    val_images: LabelledImages,
    network: nn.Module,
    recipe: TrainRecipe,
) -> tuple[nn.Module, pd.DataFrame]:
    """Fine-tune all layers and keep the epoch that is best on the validation images.

    Args:
        train_images: What is learned from.
        val_images: What the epoch is chosen by, ``recipe.select_by``.
        network: Where it starts from; changed in place.
        recipe: Everything else; equal recipes, images, starts and
            machines give equal weights on the CPU.

    Returns:
        The network of the best epoch, on the CPU, and the history: one row per epoch.

    Raises:
        FloatingPointError: The loss is not a finite number.
        InputError: The device asked for is not there.
    """
    run = _start(train_images, network, recipe)
    records: list[dict[str, Any]] = []
    best_value, best_state = -math.inf, run.network.state_dict()
    steps = recipe.epochs * _steps(train_images, recipe)
    with _seeded(recipe.seed), StepProgress("training", steps) as progress:
        for epoch in range(1, recipe.epochs + 1):
            record = _epoch(run, train_images, val_images, epoch, progress)
            records.append(record)
            if record[f"val_{recipe.select_by}"] > best_value:
                best_value = record[f"val_{recipe.select_by}"]
                best_state = copy.deepcopy(run.network.state_dict())
            _log_epoch(record, recipe.epochs)
    run.network.load_state_dict(best_state)
    network = run.network.cpu().to(memory_format=torch.contiguous_format)
    return network, _history(records, recipe.select_by)


def _start(train_images: LabelledImages, network: nn.Module, recipe: TrainRecipe) -> _Run:
    device = choose_device(recipe.device)
    network = network.to(device).to(memory_format=_memory_format(recipe))
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer]
    optimizer = kind(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * _steps(train_images, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, recipe)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=_needs_scaling(device, recipe))
    log.info(
        "Training %s (weights: %s) on %s: %d images, %d epochs of %d steps",
        recipe.architecture,
        recipe.weights,
        describe(device),
        len(train_images),
        recipe.epochs,
        _steps(train_images, recipe),
    )
    return _Run(recipe, network, optimizer, schedule, scaler, device)


def learning_rate_factor(step: int, steps: int, recipe: TrainRecipe) -> float:
    """Return the share of the peak learning rate at a step: linear warm-up, then cosine to zero."""
    warmup = recipe.warmup_share * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def _epoch(
    run: _Run,
    train_images: LabelledImages,
    val_images: LabelledImages,
    epoch: int,
    progress: StepProgress,
) -> dict[str, Any]:
    start = time.perf_counter()
    learned = _learn(run, train_images, epoch, progress)
    trained = time.perf_counter()
    judged = _judge(run, val_images)
    return {
        "epoch": epoch,
        "learning_rate": float(run.optimizer.param_groups[0]["lr"]),
        **learned,
        **judged,
        "seconds": time.perf_counter() - start,
        "images_per_second": len(train_images) / (trained - start),
    }


def _learn(
    run: _Run, images: LabelledImages, epoch: int, progress: StepProgress
) -> dict[str, float]:
    """Go through the training images once; return mean loss and accuracy, as seen on the way."""
    run.network.train()
    # Added up on the device: asking for a number would make it wait at every step.
    losses = torch.zeros((), device=run.device)
    right = torch.zeros((), device=run.device)
    generator = torch.Generator().manual_seed(run.recipe.seed + 1_000_003 * epoch)
    for batch, labels in images.shuffled(run.recipe.batch_size, run.recipe.seed, epoch):
        targets = labels.to(run.device, non_blocking=True)
        loss, logits = _step(run, images, batch, targets, generator)
        losses += loss.detach() * len(labels)
        right += (logits.detach().argmax(1) == targets).sum()
        progress.advance(len(labels))
    mean_loss = losses.item() / len(images)
    if not math.isfinite(mean_loss):
        raise FloatingPointError(
            f"the loss is {mean_loss} in epoch {epoch}; try a lower train.learning_rate "
            f"(it is {run.recipe.learning_rate:g})"
        )
    return {"train_loss": mean_loss, "train_accuracy": right.item() / len(images)}


def _step(
    run: _Run,
    images: LabelledImages,
    batch: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    batch = batch.to(run.device, non_blocking=True)
    if run.recipe.augmentation == "flips_and_turns":
        batch = flip_and_turn(batch, generator)
    inputs = normalised(batch, images.preprocessing)
    inputs = inputs.contiguous(memory_format=_memory_format(run.recipe))
    with autocast(run.device, run.recipe.mixed_precision):
        logits = run.network(inputs)
        loss = cross_entropy(logits, targets)
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(loss).backward()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.schedule.step()
    return loss, logits


def _judge(run: _Run, images: LabelledImages) -> dict[str, float]:
    logits = predict_logits(
        run.network, images, 2 * run.recipe.batch_size, run.device, run.recipe.mixed_precision
    )
    labels = images.labels.numpy()
    predicted = logits.argmax(axis=1)
    loss = cross_entropy(torch.from_numpy(logits), images.labels)
    return {
        "val_loss": float(loss),
        "val_accuracy": float(np.mean(predicted == labels)),
        "val_balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
    }


def _history(records: list[dict[str, Any]], select_by: str) -> pd.DataFrame:
    history = pd.DataFrame(records)
    return history.assign(best=history.index == history[f"val_{select_by}"].idxmax())


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


def _steps(images: LabelledImages, recipe: TrainRecipe) -> int:
    return len(range(recipe.batch_size, len(images) - 1, recipe.batch_size)) + 1


def _memory_format(recipe: TrainRecipe) -> torch.memory_format:
    channels_last = recipe.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format


def _needs_scaling(device: torch.device, recipe: TrainRecipe) -> bool:
    """Only fp16 underflows; bf16 has the range of fp32."""
    return device.type == "cuda" and recipe.mixed_precision and not torch.cuda.is_bf16_supported()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what draws from the global generator (dropout), and leave it as it was."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
