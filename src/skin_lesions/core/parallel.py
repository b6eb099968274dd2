"""Map over many files on all cores, in order, holding few results at a time."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, Linux


def usable_cpus() -> int:
    """Count the cores this process may use (a container often has fewer than the machine)."""
    known = hasattr(os, "sched_getaffinity")
    there = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, min(there, math.ceil(min(there, _cpu_quota()))))


def _cpu_quota() -> float:
    """Return the share of time that a container may use, in cores."""
    if not _QUOTA.exists():
        return math.inf
    quota, period = _QUOTA.read_text().split()
    return math.inf if quota == "max" else int(quota) / int(period)


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], prefetch: int | None = None
) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in order, computed by threads ahead of the reader.

    Threads, since hashing, reading and decoding all release the interpreter lock; at most
    ``ahead`` results wait (four per core), so memory does not grow with the number of items.
    """
    workers = usable_cpus()
    prefetch = 4 * workers if prefetch is None else prefetch
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
