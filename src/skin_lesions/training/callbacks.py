"""Loss checks, checkpoints and interruption between the steps."""

import logging
import math
import time
from collections.abc import Callable

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.progress import TrainingProgressBar
from skin_lesions.training.checkpoints import AsyncCheckpointWriter, snapshot
from skin_lesions.training.optimizers import max_learning_rate
from skin_lesions.training.state import TrainingRun, state_of

log = logging.getLogger(__name__)

_CHECK_INTERVAL = 1.0  # seconds; reading a loss synchronizes with the GPU


class TrainingCallbacks:
    """Checks losses, writes checkpoints and handles interruption between steps."""

    def __init__(
        self,
        run: TrainingRun,
        writer: AsyncCheckpointWriter,
        interrupted: Callable[[], bool],
        progress: TrainingProgressBar,
    ):
        self._run, self._writer, self._interrupted = run, writer, interrupted
        self._progress = progress
        self._unchecked: list[tuple[int, float, torch.Tensor]] = []
        self._checked_at = self._saved_at = time.monotonic()

    def after_step(self, loss: torch.Tensor, images: int) -> None:
        """Record the loss of a step, on the device; write a checkpoint when one is due."""
        run = self._run
        if not run.process_group.is_main_process:
            return
        self._unchecked.append((run.step, max_learning_rate(run.optimizer), loss))
        self._progress.advance(images, run.fraction_done)
        now = time.monotonic()
        stop = self._interrupted()
        if stop or now - self._saved_at >= 60 * run.recipe.checkpoint_interval_minutes:
            self.check_losses()  # a state after a non-finite loss is not saved
            self._save()
        elif now - self._checked_at >= _CHECK_INTERVAL:
            self.check_losses()
        if stop:
            self._stop()

    def after_epoch(self) -> None:
        """Write a checkpoint; stop if the training was interrupted."""
        if self._run.process_group.is_main_process:
            self._save()
            if self._interrupted():
                self._stop()

    def _save(self) -> None:
        state = state_of(self._run)
        best_weights = {
            "best_weights": state.pop("best_weights")
        }  # never changed in place: no copy
        self._writer.save(snapshot(state) | best_weights)
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
            check_finite(self._run, loss, "loss", rate, step)
        self._unchecked.clear()
        self._progress.show(loss=losses[-1])

    def _stop(self) -> None:
        self._writer.wait()
        run = self._run
        where = f"in epoch {run.epoch} after step {run.step} of {run.steps}"
        log.warning(
            "Training stopped %s. The checkpoint was saved. Run the same command again to resume",
            where if run.step else f"after epoch {run.epoch - 1}",
        )
        raise KeyboardInterrupt


def check_finite(
    run: TrainingRun, loss: float, loss_name: str, learning_rate: float, step: int | None = None
) -> None:
    """Check that a loss is finite.

    Args:
        run: The training.
        loss: The value to check.
        loss_name: Name of the loss in the message.
        learning_rate: Learning rate of the step.
        step: Step of the loss; None for the last one.

    Raises:
        InputError: The loss is not finite; the message names the step and a lower learning rate.
    """
    if math.isfinite(loss):
        return
    lower = run.recipe.optimizer.learning_rate / 3
    raise InputError(
        f"The {loss_name} is {loss} in epoch {run.epoch}, step {step or run.step}, at a learning "
        f"rate of {learning_rate:.3g}. Fix: use a lower one, "
        f"--params train.optimizer.learning_rate={lower:.1g}"
    )
