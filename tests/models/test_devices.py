import platform
import subprocess
import sys

import pytest
import torch

from skin_lesions.models import devices
from skin_lesions.models.devices import limit_threads, training_backend


def test_number_of_threads_is_at_most_the_number_of_usable_cpus(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        monkeypatch.setattr(devices, "usable_cpus", lambda: 3)
        limit_threads()
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)  # fewer, as set by the user
        limit_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_cudnn_benchmark_is_set_for_cuda_only_and_restored(monkeypatch, before, device):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
    with training_backend(torch.device(device), keep_memory=False):
        assert torch.backends.cudnn.benchmark == (device == "cuda")
    assert torch.backends.cudnn.benchmark == before


@pytest.mark.parametrize(("device", "keep_memory"), [("cpu", True), ("cpu", False), ("cuda", True)])
def test_freed_memory_is_kept_on_a_cpu_if_requested(monkeypatch, device, keep_memory):
    calls = []
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: calls.append(None))
    with training_backend(torch.device(device), keep_memory=keep_memory):
        assert bool(calls) == (device == "cpu" and keep_memory)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the setting is for the GNU C library only"
)
def test_cpu_step_reuses_the_memory_of_the_previous_step():
    script = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 kB on any system
from skin_lesions.models.devices import training_backend
def step():
    return [torch.zeros(megabytes, 2**18) for megabytes in (100, 5, 60)]
def cleared_pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with training_backend(torch.device("cpu"), keep_memory=sys.argv[1] == "kept"):
    for _ in range(20):  # up to five first steps may not fit between the blocks of earlier steps
        before = cleared_pages()
        step()
        cleared = cleared_pages() - before
print(cleared)
"""
    pages = {
        setting: int(subprocess.check_output([sys.executable, "-c", script, setting], text=True))
        for setting in ("returned", "kept")
    }
    assert pages["returned"] > 10_000, "pages of 4 kB; 165 MB are 42,000 pages"
    assert pages["kept"] < 100
