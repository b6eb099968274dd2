"""Ctrl-C that waits until a step is whole."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what a cluster sends before it kills


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Within the block, a first Ctrl-C only makes the function given true; a second acts at once.

    Outside the main thread, which alone gets signals, nothing is postponed; and what the process is
    told to ignore (as in the background of a script) stays ignored.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # None is a handler that was not set from Python, and can't be set again from here.
    before = {n: how for n, how in handlers.items() if how not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        restore()


@contextmanager
def preserve_signal_handlers() -> Iterator[None]:
    """After the block, signals do what they did before: some libraries leave their own handlers."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


@contextmanager
def ignore_signal(number: signal.Signals) -> Iterator[None]:
    """Within the block, leave a signal to the other processes."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
