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
from skin_lesions.data.loader import LabelledImages, steps_in
from skin_lesions.models.devices import choose_device, describe, make_ready
from skin_lesions.models.networks import layer_groups
from skin_lesions.models.precision import choose_precision
from skin_lesions.training.checkpoints import Checkpoint, State
from skin_lesions.training.distributed import Forward, World
from skin_lesions.training.ema import WeightAverage
from skin_lesions.training.losses import Loss, build_loss, sampling_shares
from skin_lesions.training.optimizers import build_optimizer
from skin_lesions.training.schedules import image_size_in

log = logging.getLogger(__name__)


@dataclass
class Run:
    """What one training holds while it goes on. From ``epoch`` on: where it is, kept in checkpoints."""

    recipe: TrainRecipe
    train_images: LabelledImages
    val_images: LabelledImages
    device: torch.device
    precision: torch.dtype
    network: nn.Module
    forward: Forward  # the network, with the other processes, compiled where asked for
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss: Loss
    shown: npt.NDArray[np.float64] | None  # how often each image is, None: all alike
    average: WeightAverage | None
    world: World
    epoch: int = 1  # the one that goes on
    step: int = 0  # how many of it are done
    seconds: float = 0.0  # spent on them
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(2))  # of loss, and of right ones
    records: list[dict[str, Any]] = field(default_factory=list)
    best_value: float = -math.inf
    best_weights: dict[str, torch.Tensor] | None = None

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return steps_in(len(self.train_images), self.recipe.batch_size, self.world.smallest_batch)

    @property
    def steps_done(self) -> int:
        """Steps done in all epochs."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def share_done(self) -> float:
        """How much of the work of all epochs is done: an image costs by its pixels."""
        done = sum(self._work[: self.epoch - 1])
        if self.step:
            done += self._work[self.epoch - 1] * self.step / self.steps
        return done / sum(self._work)

    @cached_property
    def _work(self) -> list[float]:
        """Pixels to learn from in each epoch; predicting one costs a third of that."""
        judging = len(self.val_images) * self.recipe.test_size**2 / 3
        sizes = [image_size_in(epoch + 1, self.recipe) for epoch in range(self.recipe.epochs)]
        return [len(self.train_images) * size**2 + judging for size in sizes]

    @property
    def head_epochs(self) -> int:
        """Epochs in which the head alone learns; what is random below it would teach it nothing."""
        return self.recipe.head_epochs if self.recipe.pretrained else 0

    @property
    def is_over(self) -> bool:
        """Whether all epochs are through, or patience is at its end."""
        if self.epoch > self.recipe.epochs:
            return True
        if self.recipe.patience is None or not self.records:
            return False
        values = [record[f"val_{self.recipe.select_by}"] for record in self.records]
        return len(values) - 1 - int(np.argmax(values)) >= self.recipe.patience

    @property
    def judged(self) -> nn.Module:
        """The network whose weights count: the averaged one, where there is one."""
        return self.network if self.average is None else self.average.network


def begin(
    train_images: LabelledImages,
    val_images: LabelledImages,
    network: nn.Module,
    recipe: TrainRecipe,
    world: World,
) -> Run:
    """Put together what ``train`` was given, on the device."""
    device = choose_device(recipe.device)
    make_ready(device)
    precision = choose_precision(device, recipe.precision)
    network = network.to(device).to(memory_format=memory_format(recipe))
    network = world.prepared(network, device)
    labels = train_images.labels.numpy()
    return Run(
        recipe=recipe,
        train_images=train_images,
        val_images=val_images.at_size(recipe.test_size),
        device=device,
        precision=precision,
        network=network,
        forward=network,
        optimizer=build_optimizer(layer_groups(network), recipe.optimizer, recipe.pretrained),
        # Only float16 underflows; bfloat16 has the range of float32.
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        loss=build_loss(np.bincount(labels, minlength=train_images.classes), recipe, device),
        shown=sampling_shares(labels, recipe),
        average=WeightAverage(network) if recipe.average_decay is not None else None,
        world=world,
        sums=torch.zeros(2, device=device),
    )


def resume(run: Run, checkpoint: Checkpoint) -> None:
    """Go to where the checkpoint left off, if there is one; say where it begins."""
    state = checkpoint.load(tell=run.world.leads)
    if state is not None:
        _restore(run, state)
    run.world.gathered(None)  # nobody writes before all have read
    if run.is_over:
        log.info("This training is over; its result is taken from the checkpoint")
    elif run.world.leads:
        _tell_start(run)
        if state is not None:
            log.info("resuming from epoch %d, step %d", run.epoch, run.step)


def _restore(run: Run, state: State) -> None:
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    if state["scaler"]:  # it has none where it began on a device of another precision
        run.scaler.load_state_dict(state["scaler"])
    if run.average is not None:
        run.average.network.load_state_dict(state["average"])
    run.sums.copy_(state["sums"])
    for name in ("epoch", "step", "seconds", "records", "best_value", "best_weights"):
        setattr(run, name, state[name])


def _tell_start(run: Run) -> None:
    processes = f"{run.world.size} processes, each on " if run.world.size > 1 else ""
    log.info(
        "Training %s (weights: %s) on %s%s, %s: %d images, %d epochs of %d steps",
        run.recipe.architecture,
        run.recipe.weights,
        processes,
        describe(run.device),
        str(run.precision).removeprefix("torch."),
        len(run.train_images),
        run.recipe.epochs,
        run.steps,
    )


def state_of(run: Run) -> State:
    """Return all that a training goes on from, besides what it was started with."""
    return {
        "computed": {
            "device": describe(run.device),
            "precision": str(run.precision).removeprefix("torch."),
            "processes": run.world.size,
        },
        "network": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "average": None if run.average is None else run.average.network.state_dict(),
        "sums": run.sums,
        "epoch": run.epoch,
        "step": run.step,
        "seconds": run.seconds,
        "records": run.records,
        "best_value": run.best_value,
        "best_weights": run.best_weights,
    }


def memory_format(recipe: TrainRecipe) -> torch.memory_format:
    """Return the order in which the numbers of a batch lie in memory."""
    channels_last = recipe.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format
