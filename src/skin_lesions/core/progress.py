"""What a person sees while something long goes on."""

import logging
import sys
import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

_STEPS_BEFORE_ESTIMATE = 20


class TrainingProgressBar:
    """A bar in a terminal, nothing in a pipe or if ``hidden``; and one estimate in the log."""

    def __init__(
        self, what: str, steps: int, done: int = 0, share: float = 0.0, hidden: bool = False
    ):
        """Begin after ``done`` of the steps, which were a ``share`` of all the work."""
        self._what, self._all, self._before, self._share = what, steps, done, share
        self._done = self._images = 0  # in this process
        self._start = time.perf_counter()
        self._bar = Progress(
            TextColumn(what),
            BarColumn(),
            TextColumn(
                "{task.fields[steps]} steps, loss {task.fields[loss]}, "
                "{task.fields[rate]:.0f} images/s"
            ),
            TimeRemainingColumn(),
            transient=True,
        )
        self._bar.disable = hidden or not self._bar.console.is_terminal
        self._task = self._bar.add_task(
            what, total=1.0, steps=f"{done}/{steps}", rate=0.0, loss="not known yet"
        )
        self._bar.update(self._task, completed=share)

    def __enter__(self) -> "TrainingProgressBar":
        self._start = time.perf_counter()
        self._bar.start()
        if not self._bar.disable:
            _redirect_log_to_stdout()  # now the bar's stand-in: lines go above the bar, not across it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if not self._bar.disable:
            _redirect_log_to_stdout()

    def show(self, loss: float) -> None:
        """Show the newest loss."""
        self._bar.update(self._task, loss=f"{loss:.3f}")

    def advance(self, images: int, share: float) -> None:
        """One step is done; it took in so many images, and this share of all the work is done now."""
        self._done += 1
        self._images += images
        seconds = time.perf_counter() - self._start
        steps = f"{self._before + self._done}/{self._all}"
        self._bar.update(self._task, completed=share, steps=steps, rate=self._images / seconds)
        if self._done == _STEPS_BEFORE_ESTIMATE < self._all - self._before:
            left = seconds * (1 - share) / (share - self._share)
            log.info("%s takes about %s more", self._what, format_duration(left))


def _redirect_log_to_stdout() -> None:
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(sys.stdout)


def format_duration(seconds: float) -> str:
    """Return a duration as text."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
