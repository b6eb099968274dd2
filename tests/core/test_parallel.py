import os
import subprocess
import sys
import threading
import time

import pytest

from skin_lesions.core.parallel import ordered_map, usable_cpus


def test_results_are_in_the_order_of_the_items():
    def slow_at_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item * 2

    assert list(ordered_map(slow_at_first, range(50))) == [2 * item for item in range(50)]


def test_number_of_pending_results_is_limited():
    started = []
    results = ordered_map(started.append, range(10_000))
    for _ in range(3):
        next(results)
    time.sleep(0.1)
    assert len(started) <= 6 * usable_cpus() + 3
    results.close()


def test_prefetch_limits_the_pending_results():
    started = []
    results = ordered_map(started.append, range(100), prefetch=1)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 3
    results.close()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no CPU affinity")
def test_only_cpus_that_the_process_may_use_are_counted():
    code = (
        "import os; from skin_lesions.core.parallel import usable_cpus;"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cpus())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


def test_error_is_raised_and_ends_the_threads():
    def third_fails(item):
        if item == 2:
            raise OSError("item 2")
        return item

    before = threading.active_count()
    results = ordered_map(third_fails, range(1000))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="item 2"):
        next(results)
    assert threading.active_count() == before


def test_all_cpus_work_at_the_same_time():
    barrier = threading.Barrier(usable_cpus(), timeout=10)
    assert (
        list(ordered_map(lambda _: barrier.wait() >= 0, range(usable_cpus())))
        == [True] * usable_cpus()
    )
