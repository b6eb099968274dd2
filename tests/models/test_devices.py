import platform
import subprocess
import sys

import pytest
import torch

from skin_lesions.models import devices
from skin_lesions.models.devices import configure_backend

CPU = torch.device("cpu")


def test_threads_are_at_most_the_cores_of_this_process(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        monkeypatch.setattr(devices, "usable_cpus", lambda: 3)
        configure_backend(CPU)
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)  # fewer, by wish
        configure_backend(CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library is told")
def test_on_a_cpu_a_step_takes_the_memory_of_the_one_before():
    script = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 kB, whatever is set here
from skin_lesions.models.devices import configure_backend
if sys.argv[1] == "ready":
    configure_backend(torch.device("cpu"))
def step():
    return [torch.zeros(megabytes, 2**18) for megabytes in (100, 5, 60)]
def cleared_pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):  # the first ones, up to five, may not find room between what was left before
    before = cleared_pages()
    step()
    cleared = cleared_pages() - before
print(cleared)
"""
    pages = {
        way: int(subprocess.check_output([sys.executable, "-c", script, way], text=True))
        for way in ("as it comes", "ready")
    }
    assert pages["as it comes"] > 10_000, "of 4 kB; 165 MB are 42,000"
    assert pages["ready"] < 100
