"""Loss checks, checkpoints and interruption between the steps."""

import logging
import math
import time
from collections.abc import Callable

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.training.checkpoints import AsyncCheckpointWriter
from skin_lesions.training.context import TrainingContext
from skin_lesions.training.optimizers import max_learning_rate
from skin_lesions.training.state import TrainingProgress, training_snapshot

log = logging.getLogger(__name__)

_CHECK_INTERVAL = 1.0  # seconds; reading a loss synchronizes with the GPU


class TrainingCallbacks:
    """Checks losses, writes checkpoints and handles interruption between steps."""

    def __init__(
        self,
        context: TrainingContext,
        progress: TrainingProgress,
        writer: AsyncCheckpointWriter,
        interrupted: Callable[[], bool],
        bar: TrainingProgressBar,
    ):
        self._context = context
        self._progress = progress
        self._writer = writer
        self._interrupted = interrupted
        self._bar = bar
        # Step, learning rate and loss, on the device.
        self._unchecked: list[tuple[int, float, torch.Tensor]] = []
        self._checked_at = time.monotonic()
        self._saved_at = self._checked_at

    def after_step(self, loss: torch.Tensor, images: int) -> None:
        """Record the loss of a step, on the device; write a checkpoint when one is due."""
        context, progress = self._context, self._progress
        if not context.process_group.is_main_process:
            return
        self._unchecked.append((progress.step, max_learning_rate(context.optimizer), loss))
        self._bar.advance(images, progress.fraction_done(context))
        now = time.monotonic()
        stop = self._interrupted()
        if stop or now - self._saved_at >= 60 * context.recipe.checkpoint_interval_minutes:
            self.check_losses()  # a state after a non-finite loss is not saved
            self._save()
        elif now - self._checked_at >= _CHECK_INTERVAL:
            self.check_losses()
        if stop:
            self._stop()

    def after_epoch(self) -> None:
        """Write a checkpoint; stop if the training was interrupted."""
        if self._context.process_group.is_main_process:
            self._save()
            if self._interrupted():
                self._stop()

    def _save(self) -> None:
        self._writer.save(training_snapshot(self._context, self._progress))
        self._saved_at = time.monotonic()

    def check_losses(self) -> None:
        """Check the losses since the last check.

        Raises:
            InputError: A loss is not finite.
        """
        self._checked_at = time.monotonic()
        if not self._unchecked:
            return
        losses = torch.stack([loss for _, _, loss in self._unchecked]).tolist()
        for (step, rate, _), loss in zip(self._unchecked, losses, strict=True):
            check_finite(
                self._context,
                loss,
                name="loss",
                epoch=self._progress.epoch,
                step=step,
                learning_rate=rate,
            )
        self._unchecked.clear()
        self._bar.show(loss=losses[-1])

    def _stop(self) -> None:
        self._writer.wait()
        epoch, step = self._progress.epoch, self._progress.step
        where = f"in epoch {epoch} after step {step} of {self._context.steps_per_epoch}"
        log.warning(
            "Training stopped %s. The checkpoint was saved. Run the same command again to resume",
            where if step else f"after epoch {epoch - 1}",
        )
        raise KeyboardInterrupt


def check_finite(
    context: TrainingContext,
    loss: float,
    *,
    name: str,
    epoch: int,
    step: int,
    learning_rate: float,
) -> None:
    """Check that a loss is finite.

    Args:
        context: The training.
        loss: The value to check.
        name: Name of the loss in the message.
        epoch: Epoch of the loss.
        step: Last step before the loss.
        learning_rate: Learning rate of this step.

    Raises:
        InputError: The loss is not finite; the message names the step and a lower learning rate.
    """
    if math.isfinite(loss):
        return
    lower = context.recipe.optimizer.learning_rate / 3
    raise InputError(
        f"The {name} is {loss} in epoch {epoch}, step {step}, at a learning rate of "
        f"{learning_rate:.3g}. Fix: use a lower one, "
        f"--params train.optimizer.learning_rate={lower:.1g}"
    )
