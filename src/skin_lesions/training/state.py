"""Progress of a training, its state for a checkpoint, and resuming."""

import logging
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict

import numpy as np
import torch

from skin_lesions.core.locations import redact
from skin_lesions.core.text import printable
from skin_lesions.models.devices import device_label
from skin_lesions.training.checkpoints import Checkpoint, StateDict, TrainingState
from skin_lesions.training.context import TrainingContext

log = logging.getLogger(__name__)


class ValidationMetrics(TypedDict):
    """Metrics of the validation images."""

    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float


class EpochRecord(ValidationMetrics):
    """Metrics of a completed epoch: a row of the training history.

    A plain dictionary, so that a checkpoint can be loaded without executing code.
    """

    epoch: int
    image_size: int  # pixels
    learning_rate: float
    train_loss: float
    train_accuracy: float
    seconds: float
    images_per_second: float


def selection_value(
    metrics: ValidationMetrics, metric: Literal["balanced_accuracy", "accuracy"]
) -> float:
    """Return the metric that selects the best epoch; higher is better."""
    return metrics["val_accuracy"] if metric == "accuracy" else metrics["val_balanced_accuracy"]


@dataclass
class TrainingProgress:
    """Progress of a training: everything that training replaces, in each step or epoch.

    Attributes:
        epoch_totals: (2,), sums over the images of this epoch of the loss and of correct
            predictions, on the device.
        epoch: Current epoch, counted from 1.
        step: Completed steps of this epoch.
        seconds: Duration of these steps.
        history: One record per completed epoch.
        best_value: Value of the selection metric in the best epoch.
        best_weights: Weights of the best epoch, on the CPU; replaced and never changed.
    """

    epoch_totals: torch.Tensor = field(default_factory=lambda: torch.zeros(2))
    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best_value: float = -math.inf
    best_weights: dict[str, torch.Tensor] | None = None

    def state_dict(self) -> StateDict:
        """Return all fields by name, not copied."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def load_state_dict(self, state: StateDict) -> None:
        """Restore all fields; a tensor moves to the device of the tensor that it replaces."""
        for item in fields(self):
            value = state[item.name]
            current = getattr(self, item.name)
            if isinstance(current, torch.Tensor):
                value = value.to(current.device)
            setattr(self, item.name, value)

    def start_next_epoch(self) -> None:
        """Count the completed epoch and reset the values of the current one."""
        self.epoch += 1
        self.step = 0
        self.seconds = 0.0
        self.epoch_totals.zero_()

    def steps_done(self, context: TrainingContext) -> int:
        """Return the number of completed steps of all epochs."""
        return (self.epoch - 1) * context.steps_per_epoch + self.step

    def fraction_done(self, context: TrainingContext) -> float:
        """Return the completed fraction of the work; the cost of an image is its pixels."""
        costs = context.epoch_costs
        done = sum(costs[: self.epoch - 1])
        if self.step:
            done += costs[self.epoch - 1] * self.step / context.steps_per_epoch
        return done / sum(costs)

    def is_over(self, context: TrainingContext) -> bool:
        """Return whether all epochs are complete, or early stopping applies."""
        recipe = context.recipe
        if self.epoch > recipe.epochs:
            return True
        if recipe.early_stopping_patience is None or not self.history:
            return False
        values = [selection_value(record, recipe.selection_metric) for record in self.history]
        return len(values) - 1 - int(np.argmax(values)) >= recipe.early_stopping_patience


def training_state(context: TrainingContext, progress: TrainingProgress) -> TrainingState:
    """Return everything that a training needs to resume, besides its job, not copied."""
    return {
        "environment": {
            "device": device_label(context.device),
            "precision": str(context.precision).removeprefix("torch."),
            "processes": context.process_group.size,
        },
        "network": context.network.state_dict(),
        "optimizer": context.optimizer.state_dict(),
        "scaler": context.scaler.state_dict(),
        "ema": None if context.ema is None else context.ema.network.state_dict(),
        "progress": progress.state_dict(),
    }


def training_snapshot(context: TrainingContext, progress: TrainingProgress) -> TrainingState:
    """Return ``training_state``, copied to the CPU, so that further training does not change it."""
    state: TrainingState = snapshot(training_state(context, replace(progress, best_weights=None)))
    state["progress"]["best_weights"] = progress.best_weights  # never changed: no copy
    return state


def snapshot(value: Any) -> Any:
    """Return a copy of a state, tensors on the CPU, that further training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied = OrderedDict((name, snapshot(item)) for name, item in value.items())
        if hasattr(value, "_metadata"):  # versions in a state_dict, which some networks require
            vars(copied)["_metadata"] = value._metadata
        return copied
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    return value


def resume(context: TrainingContext, checkpoint: Checkpoint) -> TrainingProgress:
    """Restore the checkpoint if there is one, log the start, and return the progress."""
    process_group = context.process_group
    progress = TrainingProgress(epoch_totals=torch.zeros(2, device=context.device))
    state = checkpoint.load(log_reason=process_group.is_main_process)
    if state is not None:
        context.network.load_state_dict(state["network"])
        context.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty if the training started in another precision
            context.scaler.load_state_dict(state["scaler"])
        if context.ema is not None and state["ema"] is not None:
            context.ema.network.load_state_dict(state["ema"])
        progress.load_state_dict(state["progress"])
    process_group.all_gather(None)  # barrier: no process writes before all have loaded
    if progress.is_over(context):
        log.info("Training is already complete. The result was loaded from the checkpoint")
    elif process_group.is_main_process:
        _log_start(context)
        if state is not None:
            log.info("Training resumed at epoch %d, step %d", progress.epoch, progress.step)
    return progress


def _log_start(context: TrainingContext) -> None:
    processes = context.process_group.size
    log.info(
        "Training started: %s (weights: %s) on %s%s, %s, %d images, %d epochs, %d steps per epoch",
        context.recipe.architecture,
        printable(redact(context.recipe.weights)),
        f"{processes} processes, each on " if processes > 1 else "",
        device_label(context.device),
        str(context.precision).removeprefix("torch."),
        len(context.train_images),
        context.recipe.epochs,
        context.steps_per_epoch,
    )
