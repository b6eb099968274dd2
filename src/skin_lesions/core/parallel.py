"""Parallel map with threads on all CPUs, in order and with bounded memory."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # CPU limit of a container (Linux, cgroup v2)


def usable_cpus() -> int:
    """Count the CPUs that this process can use; a container often has fewer than the machine."""
    has_affinity = hasattr(os, "sched_getaffinity")
    available = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(available, math.ceil(min(available, _cpu_quota()))))


def _cpu_quota() -> float:
    """Return the CPU limit of the container in CPUs, or infinity without a limit."""
    if not _QUOTA.exists():
        return math.inf
    quota, period = _QUOTA.read_text().split()
    return math.inf if quota == "max" else int(quota) / int(period)


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
