"""Progress display of a training: a bar in the terminal and one time estimate in the log."""

import logging
import sys
import time
from types import TracebackType
from typing import TextIO

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from skin_lesions.core.text import format_duration

log = logging.getLogger(__name__)

_STEPS_BEFORE_ESTIMATE = 20


class TrainingProgressBar:
    """Shows a progress bar in a terminal, but not in a pipe or if ``hidden``.

    Logs one estimate of the remaining time.
    """

    def __init__(
        self,
        title: str,
        steps: int,
        *,
        done: int = 0,
        fraction: float = 0.0,
        hidden: bool = False,
    ):
        """Start after ``done`` of ``steps`` steps, which were this ``fraction`` of all the work."""
        self._title = title
        self._steps = steps
        self._steps_before = done
        self._fraction_before = fraction
        self._done = self._images = 0  # since the start of this process
        self._start = time.perf_counter()
        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            TextColumn(
                "{task.fields[steps]} steps, loss {task.fields[loss]}, "
                "{task.fields[rate]:.0f} images/s"
            ),
            TimeRemainingColumn(),
            transient=True,
        )
        self._bar.disable = hidden or not self._bar.console.is_terminal
        # The stream of each log handler before the bar started.
        self._log_streams: dict[logging.StreamHandler[TextIO], TextIO] = {}
        self._task = self._bar.add_task(
            title, total=1.0, steps=f"{done}/{steps}", rate=0.0, loss="unknown"
        )
        self._bar.update(self._task, completed=fraction)

    def __enter__(self) -> "TrainingProgressBar":
        self._start = time.perf_counter()
        self._bar.start()
        if not self._bar.disable:
            for handler in logging.getLogger().handlers:
                if type(handler) is logging.StreamHandler:
                    self._log_streams[handler] = handler.stream
                    # The bar replaces sys.stdout: log lines appear above the bar, not across it.
                    handler.setStream(sys.stdout)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        for handler, stream in self._log_streams.items():
            handler.setStream(stream)

    def show(self, loss: float) -> None:
        """Show the loss of the latest step."""
        self._bar.update(self._task, loss=f"{loss:.3f}")

    def advance(self, images: int, fraction: float) -> None:
        """Count a step that processed ``images`` images; ``fraction`` of all the work is done."""
        self._done += 1
        self._images += images
        seconds = time.perf_counter() - self._start
        steps = f"{self._steps_before + self._done}/{self._steps}"
        self._bar.update(self._task, completed=fraction, steps=steps, rate=self._images / seconds)
        if self._done == _STEPS_BEFORE_ESTIMATE < self._steps - self._steps_before:
            # seconds per fraction of the work done here, times the fraction that remains
            remaining = seconds * (1 - fraction) / (fraction - self._fraction_before)
            log.info("Remaining %s time: about %s", self._title, format_duration(remaining))
