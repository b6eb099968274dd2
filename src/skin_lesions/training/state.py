"""Training state: creation, conversion to a checkpoint, and resuming."""

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
    """State of a running training. The fields from ``epoch`` on are its progress."""

    recipe: TrainRecipe
    train_images: ImageDataset
    val_images: ImageDataset
    device: torch.device
    precision: torch.dtype
    network: nn.Module
    forward: Forward  # the network, wrapped in DDP and compiled if needed
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    sampling_weights: npt.NDArray[np.float64] | None  # (images,); None: equal weights
    ema: ModelEma | None
    process_group: ProcessGroup
    epoch: int = 1  # current epoch
    step: int = 0  # completed steps of this epoch
    seconds: float = 0.0  # duration of these steps
    # (2,): sums over the images of this epoch of the loss and of correct predictions.
    epoch_totals: torch.Tensor = field(default_factory=lambda: torch.zeros(2))
    history: list[dict[str, Any]] = field(default_factory=list)
    best_value: float = -math.inf
    best_weights: dict[str, torch.Tensor] | None = None

    @property
    def steps(self) -> int:
        """Number of steps per epoch."""
        return steps_per_epoch(
            len(self.train_images), self.recipe.batch_size, self.process_group.min_batch_size
        )

    @property
    def steps_done(self) -> int:
        """Number of completed steps in all epochs."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def fraction_done(self) -> float:
        """Completed fraction of the work; the cost of an image is its number of pixels."""
        done = sum(self._epoch_costs[: self.epoch - 1])
        if self.step:
            done += self._epoch_costs[self.epoch - 1] * self.step / self.steps
        return done / sum(self._epoch_costs)

    @cached_property
    def _epoch_costs(self) -> list[float]:
        """Cost of each epoch in trained pixels; predicting a pixel costs a third of that."""
        validation = len(self.val_images) * self.recipe.eval_image_size**2 / 3
        sizes = [image_size_at(epoch + 1, self.recipe) for epoch in range(self.recipe.epochs)]
        return [len(self.train_images) * size**2 + validation for size in sizes]

    @property
    def frozen_backbone_epochs(self) -> int:
        """Epochs that train only the head; 0 if the backbone is random and so uninformative."""
        return self.recipe.frozen_backbone_epochs if self.recipe.pretrained else 0

    @property
    def is_over(self) -> bool:
        """Whether all epochs are complete, or early stopping applies."""
        if self.epoch > self.recipe.epochs:
            return True
        if self.recipe.early_stopping_patience is None or not self.history:
            return False
        values = [record[f"val_{self.recipe.selection_metric}"] for record in self.history]
        return len(values) - 1 - int(np.argmax(values)) >= self.recipe.early_stopping_patience

    @property
    def eval_network(self) -> nn.Module:
        """The network to validate and to save: the EMA if there is one."""
        return self.network if self.ema is None else self.ema.network


def create_state(
    train_images: ImageDataset,
    val_images: ImageDataset,
    network: nn.Module,
    recipe: TrainRecipe,
    process_group: ProcessGroup,
) -> TrainingRun:
    """Create the state of a new training on the device, from the arguments of ``train``."""
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
        loss=build_loss(np.bincount(labels, minlength=train_images.num_classes), recipe, device),
        sampling_weights=sampling_weights(labels, recipe),
        ema=ModelEma(network) if recipe.ema_decay is not None else None,
        process_group=process_group,
        epoch_totals=torch.zeros(2, device=device),
    )


def resume(run: TrainingRun, checkpoint: Checkpoint) -> None:
    """Restore the checkpoint if there is one, and log the start of the training."""
    state = checkpoint.load(log_reason=run.process_group.is_main_process)
    if state is not None:
        _restore(run, state)
    run.process_group.all_gather(None)  # barrier: no process writes before all have loaded
    if run.is_over:
        log.info("Training is already complete. The result was loaded from the checkpoint")
    elif run.process_group.is_main_process:
        _log_start(run)
        if state is not None:
            log.info("Training resumed at epoch %d, step %d", run.epoch, run.step)


def _restore(run: TrainingRun, state: State) -> None:
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    if state["scaler"]:  # empty if the training started in another precision
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
        "Training started: %s (weights: %s) on %s%s, %s, %d images, %d epochs, %d steps per epoch",
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
    """Return everything that a training needs to resume, besides the arguments of ``train``."""
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
    """Return the memory format of the network and its inputs."""
    channels_last = recipe.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format
