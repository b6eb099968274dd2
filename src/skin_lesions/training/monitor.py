"""What is looked at between the steps."""

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

_CHECK_INTERVAL = 1.0  # seconds; looking at a loss makes a GPU wait for it


class TrainingMonitor:
    """Looks up from the steps now and then: at the losses, the clock, and whether to stop."""

    def __init__(
        self,
        run: TrainingRun,
        saver: AsyncCheckpointWriter,
        interrupted: Callable[[], bool],
        progress: TrainingProgressBar,
    ):
        self._run, self._saver, self._interrupted = run, saver, interrupted
        self._progress = progress
        self._unseen: list[tuple[int, float, torch.Tensor]] = []
        self._looked = self._saved = time.monotonic()

    def after_step(self, loss: torch.Tensor, images: int) -> None:
        """Take note of a step's loss, on the device; keep the state when it is time."""
        run = self._run
        if not run.process_group.is_main_process:
            return
        self._unseen.append((run.step, max_learning_rate(run.optimizer), loss))
        self._progress.advance(images, run.fraction_done)
        now = time.monotonic()
        stop = self._interrupted()
        if stop or now - self._saved >= 60 * run.recipe.checkpoint_interval_minutes:
            self.check_losses()  # a state that is spoilt is not kept
            self._save()
        elif now - self._looked >= _CHECK_INTERVAL:
            self.check_losses()
        if stop:
            self._stop()

    def after_epoch(self) -> None:
        """Keep the state; stop if it is time."""
        if self._run.process_group.is_main_process:
            self._save()
            if self._interrupted():
                self._stop()

    def _save(self) -> None:
        state = state_of(self._run)
        best = {"best_weights": state.pop("best_weights")}  # replaced, never changed: no copy
        self._saver.save(snapshot(state) | best)
        self._saved = time.monotonic()

    def check_losses(self) -> None:
        """See whether the losses so far are finite.

        Raises:
            InputError: One is not.
        """
        self._looked = time.monotonic()
        if not self._unseen:
            return
        losses = torch.stack([loss for _, _, loss in self._unseen]).tolist()
        for (step, rate, _), loss in zip(self._unseen, losses, strict=True):
            check_finite(self._run, loss, "loss", rate, step)
        self._unseen.clear()
        self._progress.show(loss=losses[-1])

    def _stop(self) -> None:
        self._saver.wait()
        run = self._run
        where = f"in epoch {run.epoch} after step {run.step} of {run.steps}"
        log.warning(
            "Stopped %s. The state is kept: the same command goes on from there",
            where if run.step else f"after epoch {run.epoch - 1}",
        )
        raise KeyboardInterrupt


def check_finite(
    run: TrainingRun, loss: float, called: str, rate: float, step: int | None = None
) -> None:
    """Stop if a loss, of this step (None: the last one) at this learning rate, is not a number.

    Raises:
        InputError: It is not; says where, and the remedy.
    """
    if math.isfinite(loss):
        return
    lower = run.recipe.optimizer.learning_rate / 3
    raise InputError(
        f"the {called} is {loss} in epoch {run.epoch}, step {step or run.step}, at a learning rate of "
        f"{rate:.3g}; try a lower one: --params train.optimizer.learning_rate={lower:.1g}"
    )
