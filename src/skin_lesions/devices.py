"""Which device computes, how precisely, and with how many threads."""

import torch

from skin_lesions.errors import InputError
from skin_lesions.parallel import cores

_TENSOR_CORES, _BFLOAT16_CORES = (7, 0), (8, 0)  # compute capability of NVIDIA's GPUs


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


def choose_precision(device: torch.device, asked: str) -> torch.dtype:
    """Return the precision asked for; ``auto`` takes the one that the device is made for.

    That is float32, but for NVIDIA's GPUs with units for matrices of bfloat16 or float16.
    ``torch.cuda.is_bf16_supported`` is no guide: it is true where bfloat16 is only emulated, slowly.

    Raises:
        InputError: Half precision is asked for where it would be slower, or is not to be had.
    """
    if asked != "auto":
        if asked != "float32" and device.type != "cuda":
            raise InputError(
                f"train.precision={asked} needs an NVIDIA GPU; on {device.type} take auto or float32"
            )
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
            asked
        ]
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return torch.float32
    made_for_bfloat16 = torch.cuda.get_device_capability(device) >= _BFLOAT16_CORES
    return torch.bfloat16 if made_for_bfloat16 else torch.float16


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
