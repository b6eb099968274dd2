"""Compute device: choice of the device, number of threads, and settings of a training process."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import usable_cpus

# Options of mallopt in the GNU C library: names in malloc.h, meanings in `man mallopt`.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


def choose_device(requested: str, parameter: str = "train.device") -> torch.device:
    """Return the requested device; ``auto`` selects cuda, else mps, else cpu.

    Args:
        requested: Name of a device.
        parameter: Name of the parameter that requests it, for the error message.

    Raises:
        InputError: The requested device is not available on this machine.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if requested == "auto":
        return torch.device(next(name for name, is_available in available.items() if is_available))
    if not available[requested]:
        names = ", ".join(name for name, is_available in available.items() if is_available)
        raise InputError(
            f"{parameter}={requested} is not available on this machine with PyTorch "
            f"{torch.__version__}. Set {parameter} to auto, or to an available device: {names}"
        )
    return torch.device(requested)


@contextmanager
def training_backend(device: torch.device, *, keep_memory: bool) -> Iterator[None]:
    """Configure PyTorch for a training on a device, within the block.

    Batch sizes repeat, so on CUDA cuDNN benchmarks its algorithms. On exit, the previous setting of
    cuDNN is restored.

    Args:
        device: Device of the training.
        keep_memory: Whether a CPU keeps freed memory (``keep_freed_memory``), also after the block.
    """
    limit_threads()
    if keep_memory and device.type == "cpu":
        keep_freed_memory()
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def limit_threads() -> None:
    """Use at most as many threads as this process may use CPUs; fewer stay fewer."""
    if torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())


def keep_freed_memory() -> None:
    """Keep freed memory in the process, so that the next step reuses it.

    By default, the GNU C library returns large blocks to the system at once. The system then
    clears each page again for the next step, which takes a quarter of the time of a step of
    EfficientNet-Lite0. Other C libraries are not changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)  # 0 disables separate mappings for large blocks
    libc.mallopt(_M_TRIM_THRESHOLD, -1)  # -1 disables trimming of the heap
    libc.mallopt(_M_TOP_PAD, 64 * 1024**2)  # bytes added to each extension of the heap


def device_label(device: torch.device) -> str:
    """Return a readable name of a device, for logs and reports."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' * (threads != 1)})"
    return device.type
