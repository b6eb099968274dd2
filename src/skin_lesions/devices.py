"""Which device computes, and with how many threads."""

import torch

from skin_lesions.errors import InputError
from skin_lesions.parallel import cores


def choose_device(asked: str) -> torch.device:
    """Return the device asked for; ``auto`` takes cuda, else mps, else cpu.

    Raises:
        InputError: A device is asked for that this machine does not have.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[asked]:
        there = ", ".join(name for name, is_there in present.items() if is_there)
        raise InputError(
            f"train.device={asked} was asked for, but this machine (with this build of PyTorch "
            f"{torch.__version__}) has only: {there}"
        )
    return torch.device(asked)


def make_ready(device: torch.device) -> None:
    """Compute with no more threads than this process may use cores; on CUDA, let cuDNN try its ways.

    Batches of one size come again and again, so trying pays off.
    """
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if torch.get_num_threads() > cores():
        torch.set_num_threads(cores())


def describe(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return device.type
