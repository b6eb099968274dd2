"""What one training holds while it goes on: how it begins, is kept, and is taken up again."""

import logging
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skin_lesions.config.train import TrainRecipe
from skin_lesions.data.loader import ImageDataset, steps_per_epoch
from skin_lesions.models.devices import choose_device, configure_backend, device_label
from skin_lesions.models.networks import layer_groups
from skin_lesions.models.precision import choose_precision
from skin_lesions.training.checkpoints import Checkpoint, State
from skin_lesions.training.distributed import Forward, ProcessGroup
from skin_lesions.training.ema import ModelEma
from skin_lesions.training.losses import Loss, build_loss, sampling_weights
from skin_lesions.training.optimizers import build_optimizer
from skin_lesions.training.schedules import image_size_at

log = logging.getLogger(__name__)


@dataclass
class TrainingRun:
    """What one training holds while it goes on. From ``epoch`` on: where it is, kept in checkpoints."""

    recipe: TrainRecipe
    train_images: ImageDataset
    val_images: ImageDataset
    device: torch.device
    precision: torch.dtype
    network: nn.Module
    forward: Forward  # the network, with the other processes, compiled where asked for
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    sampling_weights: npt.NDArray[np.float64] | None  # how often each image is, None: all alike
    ema: ModelEma | None
    process_group: ProcessGroup
    epoch: int = 1  # the one that goes on
    step: int = 0  # how many of it are done
    seconds: float = 0.0  # spent on them
    epoch_totals: torch.Tensor = field(
        default_factory=lambda: torch.zeros(2)
    )  # of loss, and of right ones
    history: list[dict[str, Any]] = field(default_factory=list)
    best_value: float = -math.inf
    best_weights: dict[str, torch.Tensor] | None = None

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return steps_per_epoch(
            len(self.train_images), self.recipe.batch_size, self.process_group.min_batch_size
        )

    @property
    def steps_done(self) -> int:
        """Steps done in all epochs."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def fraction_done(self) -> float:
        """How much of the work of all epochs is done: an image costs by its pixels."""
        done = sum(self._work[: self.epoch - 1])
        if self.step:
            done += self._work[self.epoch - 1] * self.step / self.steps
        return done / sum(self._work)

    @cached_property
    def _work(self) -> list[float]:
        """Pixels to learn from in each epoch; predicting one costs a third of that."""
        judging = len(self.val_images) * self.recipe.eval_image_size**2 / 3
        sizes = [image_size_at(epoch + 1, self.recipe) for epoch in range(self.recipe.epochs)]
        return [len(self.train_images) * size**2 + judging for size in sizes]

    @property
    def frozen_backbone_epochs(self) -> int:
        """Epochs in which the head alone learns; what is random below it would teach it nothing."""
        return self.recipe.frozen_backbone_epochs if self.recipe.pretrained else 0

    @property
    def is_over(self) -> bool:
        """Whether all epochs are through, or patience is at its end."""
        if self.epoch > self.recipe.epochs:
            return True
        if self.recipe.early_stopping_patience is None or not self.history:
            return False
        values = [record[f"val_{self.recipe.selection_metric}"] for record in self.history]
        return len(values) - 1 - int(np.argmax(values)) >= self.recipe.early_stopping_patience

    @property
    def eval_network(self) -> nn.Module:
        """The network whose weights count: the averaged one, where there is one."""
        return self.network if self.ema is None else self.ema.network


def create_state(
    train_images: ImageDataset,
    val_images: ImageDataset,
    network: nn.Module,
    recipe: TrainRecipe,
    process_group: ProcessGroup,
) -> TrainingRun:
    """Put together what ``train`` was given, on the device."""
    device = choose_device(recipe.device)
    configure_backend(device)
    precision = choose_precision(device, recipe.precision)
    network = network.to(device).to(memory_format=memory_format(recipe))
    network = process_group.with_sync_batchnorm(network, device)
    labels = train_images.labels.numpy()
    return TrainingRun(
        recipe=recipe,
        train_images=train_images,
        val_images=val_images.with_image_size(recipe.eval_image_size),
        device=device,
        precision=precision,
        network=network,
        forward=network,
        optimizer=build_optimizer(layer_groups(network), recipe.optimizer, recipe.pretrained),
        # Only float16 underflows; bfloat16 has the range of float32.
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        loss=build_loss(np.bincount(labels, minlength=train_images.classes), recipe, device),
        sampling_weights=sampling_weights(labels, recipe),
        ema=ModelEma(network) if recipe.ema_decay is not None else None,
        process_group=process_group,
        epoch_totals=torch.zeros(2, device=device),
    )


def resume(run: TrainingRun, checkpoint: Checkpoint) -> None:
    """Go to where the checkpoint left off, if there is one; say where it begins."""
    state = checkpoint.load(log_reason=run.process_group.is_main_process)
    if state is not None:
        _restore(run, state)
    run.process_group.all_gather(None)  # nobody writes before all have read
    if run.is_over:
        log.info("This training is over; its result is taken from the checkpoint")
    elif run.process_group.is_main_process:
        _log_start(run)
        if state is not None:
            log.info("resuming from epoch %d, step %d", run.epoch, run.step)


def _restore(run: TrainingRun, state: State) -> None:
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    if state["scaler"]:  # it has none where it began on a device of another precision
        run.scaler.load_state_dict(state["scaler"])
    if run.ema is not None:
        run.ema.network.load_state_dict(state["ema"])
    run.epoch_totals.copy_(state["epoch_totals"])
    for name in ("epoch", "step", "seconds", "history", "best_value", "best_weights"):
        setattr(run, name, state[name])


def _log_start(run: TrainingRun) -> None:
    processes = (
        f"{run.process_group.size} processes, each on " if run.process_group.size > 1 else ""
    )
    log.info(
        "Training %s (weights: %s) on %s%s, %s: %d images, %d epochs of %d steps",
        run.recipe.architecture,
        run.recipe.weights,
        processes,
        device_label(run.device),
        str(run.precision).removeprefix("torch."),
        len(run.train_images),
        run.recipe.epochs,
        run.steps,
    )


def state_of(run: TrainingRun) -> State:
    """Return all that a training goes on from, besides what it was started with."""
    return {
        "environment": {
            "device": device_label(run.device),
            "precision": str(run.precision).removeprefix("torch."),
            "processes": run.process_group.size,
        },
        "network": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "ema": None if run.ema is None else run.ema.network.state_dict(),
        "epoch_totals": run.epoch_totals,
        "epoch": run.epoch,
        "step": run.step,
        "seconds": run.seconds,
        "history": run.history,
        "best_value": run.best_value,
        "best_weights": run.best_weights,
    }


def memory_format(recipe: TrainRecipe) -> torch.memory_format:
    """Return the order in which the numbers of a batch lie in memory."""
    channels_last = recipe.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format
