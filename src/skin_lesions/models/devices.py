"""Which device computes, with how many threads, and what memory."""

import ctypes
import platform

import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import usable_cpus

# What mallopt of the GNU C library is told: malloc.h has the names, `man mallopt` the meanings.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def choose_device(requested: str) -> torch.device:
    """Return the device asked for; ``auto`` takes cuda, else mps, else cpu.

    Raises:
        InputError: A device is asked for that this machine does not have.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if requested == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[requested]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise InputError(
            f"train.device={requested} was asked for, but this machine (with this build of PyTorch "
            f"{torch.__version__}) has only: {there}"
        )
    return torch.device(requested)


def configure_backend(device: torch.device) -> None:
    """Compute with no more threads than this process may use cores, and as its device does best.

    Batches of one size come again and again: on CUDA, cuDNN may try its ways; on CPUs, memory is kept.
    """
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if device.type == "cpu":
        _disable_malloc_trim()
    if torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())


def _disable_malloc_trim() -> None:
    """Let what one step frees be taken by the next, rather than go back to the system.

    The GNU C library returns large blocks at once, and for the next step the system clears each page
    anew: a quarter of the time of a step of EfficientNet-Lite0. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, -1)
    libc.mallopt(_M_TOP_PAD, 64 * 1024**2)


def device_label(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' * (threads != 1)})"
    return device.type
