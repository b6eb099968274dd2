"""Parallel map with threads on all CPUs, in order and with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@cache  # joblib reads the limits of the container at each call, and every batch needs the number
def usable_cpus() -> int:
    """Count the CPUs that this process can use; a container often has fewer than the machine."""
    from joblib import cpu_count  # noqa: PLC0415 (takes 30 ms, and imports numpy)

    return int(cpu_count())


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], prefetch: int | None = None
) -> Iterator[R]:
    """Yield ``function(item)`` for each item in order, computed by threads in advance.

    Threads suffice, because hashing, reading and decoding release the global interpreter lock.
    At most ``prefetch`` results (default: four per CPU) wait for the caller, so memory use does
    not grow with the number of items.
    """
    workers = usable_cpus()
    prefetch = 4 * workers if prefetch is None else prefetch
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > prefetch:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
