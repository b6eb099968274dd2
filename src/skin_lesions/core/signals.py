"""Signal handling: interrupts that wait for the end of a training step."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; sent by clusters before SIGKILL


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Defer the first interrupt (Ctrl-C or SIGTERM) within the block.

    Yields a function that returns True after the first interrupt. A second interrupt acts at once.
    Outside the main thread, nothing is deferred, because only the main thread receives signals.
    Signals that the process ignores (as in the background of a script) stay ignored.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # None means that the handler was not set from Python; Python cannot set it again.
    replaced = {n: old for n, old in handlers.items() if old not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in replaced.items():
            signal.signal(number, handler)

    def request(_number: int, _frame: FrameType | None) -> None:
        requested.set()
        restore()

    for number in replaced:
        signal.signal(number, request)
    try:
        yield requested.is_set
    finally:
        restore()


@contextmanager
def preserve_signal_handlers() -> Iterator[None]:
    """Restore all signal handlers after the block: some libraries do not restore them."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)


@contextmanager
def ignore_signal(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal within the block; other processes still receive it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
