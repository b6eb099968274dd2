"""The training loop: recipe and images -> weights and what happened on the way.

All chance is a function of seed, epoch and place, never of what was drawn before: a training that goes
on from a checkpoint ends with the weights of one that was never disturbed.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from skin_lesions.augmentation import Draws, augmented, draws
from skin_lesions.averaging import WeightAverage
from skin_lesions.batches import LabelledImages, shuffled, steps_in
from skin_lesions.checkpoints import Checkpoint, Saver, State, snapshot
from skin_lesions.console import StepProgress
from skin_lesions.devices import choose_device, describe, make_ready
from skin_lesions.errors import InputError
from skin_lesions.inference import predict_logits
from skin_lesions.interruption import postponed
from skin_lesions.losses import Loss, build_loss, sampling_shares
from skin_lesions.networks import head, layer_groups
from skin_lesions.optimizers import build_optimizer, set_rates, top_rate
from skin_lesions.parameters import TrainRecipe
from skin_lesions.precision import autocast, choose_precision
from skin_lesions.schedules import decay_in, image_size_in, learning_rate_factor, momentum
from skin_lesions.world import Forward, World

log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds; looking at a loss makes a GPU wait for it


@dataclass
class _Run:
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


def train(
    train_images: LabelledImages,
    val_images: LabelledImages,
    network: nn.Module,
    recipe: TrainRecipe,
    checkpoint: Checkpoint,
    world: World,
) -> tuple[nn.Module, pd.DataFrame]:
    """Fine-tune a network and keep the epoch that is best on the validation images.

    Args:
        train_images: What is learned from.
        val_images: What the epoch is chosen by, ``recipe.select_by``.
        network: Where it starts from; changed in place.
        recipe: Everything else; equal recipes, images, starts and machines give equal weights on
            the CPU, however often the training was broken off.
        checkpoint: Where to go on from, and to keep the state after every epoch and every
            ``recipe.checkpoint_minutes``.
        world: The processes that do it together; each calls this with the same arguments.

    Returns:
        The network of the best epoch, on the CPU, and the history: one row per epoch.

    Raises:
        InputError: The loss is not a finite number; the GPU's memory is too small; the device asked
            for is not there.
        KeyboardInterrupt: Ctrl-C; the state is kept.
        OSError: The disk is full; the state before is kept.
    """
    run = _start(train_images, val_images, network, recipe, world)
    _resume(run, checkpoint)
    with (
        _seeded(),
        postponed() as interrupted,
        checkpoint.saving() as saver,
        StepProgress("training", recipe.epochs * run.steps, run.steps_done) as progress,
    ):
        watch = _Watch(run, saver, interrupted, progress)
        while not run.is_over:
            _learn(run, watch)
            _finish_epoch(run)
            if world.leads:
                saver.save(snapshot(_state(run)))
    if run.best_weights is not None:
        run.network.load_state_dict(run.best_weights)
    network = run.network.cpu().requires_grad_(True).to(memory_format=torch.contiguous_format)
    return network, _history(run.records, recipe.select_by)


def _start(
    train_images: LabelledImages,
    val_images: LabelledImages,
    network: nn.Module,
    recipe: TrainRecipe,
    world: World,
) -> _Run:
    device = choose_device(recipe.device)
    make_ready(device)
    precision = choose_precision(device, recipe.precision)
    network = network.to(device).to(memory_format=_memory_format(recipe))
    network = world.prepared(network, device)
    labels = train_images.labels.numpy()
    return _Run(
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


def _resume(run: _Run, checkpoint: Checkpoint) -> None:
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


def _restore(run: _Run, state: State) -> None:
    run.network.load_state_dict(state["network"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    if run.average is not None:
        run.average.network.load_state_dict(state["average"])
    run.sums.copy_(state["sums"])
    for name in ("epoch", "step", "seconds", "records", "best_value", "best_weights"):
        setattr(run, name, state[name])


def _tell_start(run: _Run) -> None:
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


def _state(run: _Run) -> State:
    """Return all that a training goes on from, besides what it was started with."""
    return {
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


class _Watch:
    """Looks up from the steps now and then: at the losses, the clock, and whether to stop."""

    def __init__(
        self, run: _Run, saver: Saver, interrupted: Callable[[], bool], progress: StepProgress
    ):
        self._run, self._saver, self._interrupted = run, saver, interrupted
        self._progress = progress
        self._unseen: list[tuple[int, float, torch.Tensor]] = []
        self._looked = self._saved = time.monotonic()

    def after_step(self, loss: torch.Tensor, images: int) -> None:
        """Take note of a step's loss, on the device; keep the state when it is time."""
        run = self._run
        if not run.world.leads:
            return
        self._unseen.append((run.step, top_rate(run.optimizer), loss))
        self._progress.advance(images)
        now = time.monotonic()
        stop = self._interrupted()
        if stop or now - self._saved >= 60 * run.recipe.checkpoint_minutes:
            self.look()  # a state that is spoilt is not kept
            self._saver.save(snapshot(_state(run)))
            self._saved = now
        elif now - self._looked >= _LOOK_EVERY:
            self.look()
        if stop:
            self._stop()

    def look(self) -> None:
        """See whether the losses so far are finite.

        Raises:
            InputError: One is not.
        """
        self._looked = time.monotonic()
        if not self._unseen:
            return
        losses = torch.stack([loss for _, _, loss in self._unseen]).tolist()
        for (step, rate, _), loss in zip(self._unseen, losses, strict=True):
            if not math.isfinite(loss):
                raise InputError(_not_finite(self._run, step, rate, loss))
        self._unseen.clear()
        self._progress.show(loss=losses[-1])

    def _stop(self) -> None:
        self._saver.wait()
        log.warning(
            "Stopped in epoch %d after step %d of %d. The state is kept: the same command goes on "
            "from there",
            self._run.epoch,
            self._run.step,
            self._run.steps,
        )
        raise KeyboardInterrupt


def _not_finite(run: _Run, step: int, rate: float, loss: float) -> str:
    lower = run.recipe.optimizer.learning_rate / 3
    return (
        f"the loss is {loss} in epoch {run.epoch}, step {step}, at a learning rate of {rate:.3g}; try "
        f"a lower one: --params train.optimizer.learning_rate={lower:.1g}"
    )


def _learn(run: _Run, watch: _Watch) -> None:
    """Go through the rest of an epoch's steps."""
    recipe, epoch = run.recipe, run.epoch
    _choose_what_learns(run)
    n = len(run.train_images)
    smallest = run.world.smallest_batch
    batches = shuffled(n, recipe.batch_size, recipe.seed, epoch, run.shown, smallest)
    chances = draws(n, recipe.seed, epoch)
    images = run.train_images.at_size(image_size_in(epoch, recipe))
    place = sum(len(batch) for batch in batches[: run.step])
    clock = time.perf_counter()
    left = batches[run.step :]
    ours = (batch[run.world.part(len(batch))] for batch in left)
    for batch, (pixels, labels) in zip(left, images.fetched(ours, run.device), strict=True):
        torch.manual_seed(_step_seed(run))
        loss = _update(run, _batch(run, pixels, labels, chances[place : place + len(batch)]))
        place += len(batch)
        run.step += 1
        run.seconds, clock = run.seconds + time.perf_counter() - clock, time.perf_counter()
        watch.after_step(loss, len(batch))
    watch.look()


def _choose_what_learns(run: _Run) -> None:
    head_only = run.epoch <= run.head_epochs
    run.network.train(not head_only)  # what does not learn keeps its batch statistics too
    run.network.requires_grad_(not head_only)
    head(run.network).train().requires_grad_(True)
    if run.forward is run.network or run.epoch == run.head_epochs + 1:
        joint = run.world.joint(run.network, run.device)
        compiled = run.recipe.compile and run.device.type == "cuda"
        run.forward = torch.compile(joint) if compiled else joint


@dataclass(frozen=True)
class _Batch:
    """What a step learns from: this process's part of ``whole`` images."""

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    whole: int

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, parts: int) -> "list[_Batch]":
        parts = max(1, min(parts, len(self) // 2))  # one image alone has no batch statistics
        tensors = (self.inputs, self.targets, self.labels)
        inputs, targets, labels = (tensor.tensor_split(parts) for tensor in tensors)
        split = zip(inputs, targets, labels, strict=True)
        return [_Batch(*part, whole=self.whole) for part in split]


def _batch(run: _Run, images: torch.Tensor, labels: torch.Tensor, drawn: Draws) -> _Batch:
    """Augment the images of a step; ``drawn`` are the chances of the whole batch."""
    recipe, ours = run.recipe, run.train_images
    targets = one_hot(labels, ours.classes).float()
    chances = drawn[run.world.part(len(drawn))]
    inputs, targets = augmented(images, targets, chances, recipe.augmentation, ours.preprocessing)
    inputs = inputs.contiguous(memory_format=_memory_format(recipe))
    return _Batch(inputs, targets, labels, len(drawn))


def _update(run: _Run, batch: _Batch) -> torch.Tensor:
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


def _set_rates(run: _Run) -> None:
    before = run.head_epochs * run.steps
    if run.steps_done < before:
        return  # the head alone learns at its peak rate
    position = run.steps_done - before, run.recipe.epochs * run.steps - before
    schedule = run.recipe.schedule
    set_rates(
        run.optimizer, learning_rate_factor(*position, schedule), momentum(*position, schedule)
    )


def _fitting_gradients(run: _Run, batch: _Batch) -> torch.Tensor:
    """Compute the gradients of a batch; where memory is too small, say what would fit."""
    try:
        sums = _gradients(run, batch, run.recipe.accumulation)
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
            _gradients(run, batch, parts)
        except torch.cuda.OutOfMemoryError:
            parts *= 2
        else:
            raise InputError(_too_large(run, batch.inputs, parts))
    raise InputError(_too_large(run, batch.inputs, None))


def _too_large(run: _Run, inputs: torch.Tensor, parts: int | None) -> str:
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


def _gradients(run: _Run, batch: _Batch, parts: int) -> torch.Tensor:
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


def _finish_epoch(run: _Run) -> None:
    """Judge the epoch, take note of it, and go to the next."""
    start = time.perf_counter()
    judged = _judge(run)
    mean_loss, right = (run.sums / len(run.train_images)).tolist()
    record = {
        "epoch": run.epoch,
        "image_size": image_size_in(run.epoch, run.recipe),
        "learning_rate": top_rate(run.optimizer),
        "train_loss": mean_loss,
        "train_accuracy": right,
        **judged,
        "seconds": run.seconds + time.perf_counter() - start,
        "images_per_second": len(run.train_images) / run.seconds,
    }
    run.records.append(record)
    if record[f"val_{run.recipe.select_by}"] > run.best_value:
        run.best_value = record[f"val_{run.recipe.select_by}"]
        run.best_weights = snapshot(_judged_network(run).state_dict())
    if run.world.leads:
        _log_epoch(record, run.recipe.epochs)
    run.epoch, run.step, run.seconds = run.epoch + 1, 0, 0.0
    run.sums.zero_()


def _judged_network(run: _Run) -> nn.Module:
    return run.network if run.average is None else run.average.network


def _judge(run: _Run) -> dict[str, float]:
    """Predict the validation images, each process its part, and score them."""
    judged, world, images = _judged_network(run), run.world, run.val_images
    world.follow(judged)
    ours = images.at(world.part(len(images)))
    logits = np.concatenate(
        world.gathered(
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


def _memory_format(recipe: TrainRecipe) -> torch.memory_format:
    channels_last = recipe.memory_format == "channels_last"
    return torch.channels_last if channels_last else torch.contiguous_format


def _step_seed(run: _Run) -> int:
    """Return what dropout and its like are drawn from in this step, in this process."""
    sequence = np.random.SeedSequence([run.recipe.seed, run.epoch, run.step, run.world.rank])
    return int(sequence.generate_state(1, np.uint64)[0])


@contextmanager
def _seeded() -> Iterator[None]:
    """Leave the global generators as they were."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        yield
