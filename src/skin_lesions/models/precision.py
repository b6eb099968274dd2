"""How precisely a device computes: as its matrix units like it best, wherever that is faster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import conv2d
from torch.overrides import TorchFunctionMode

from skin_lesions.core.errors import InputError

_TENSOR_CORES, _BFLOAT16_CORES = (7, 0), (8, 0)  # compute capability of NVIDIA's GPUs
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_precision(device: torch.device, requested: str) -> torch.dtype:
    """Return the precision asked for; ``auto`` takes the one that the device has matrix units for.

    That is bfloat16 on Intel's CPUs with AMX and on NVIDIA's GPUs since Ampere, float16 on those of
    Volta and Turing, and float32 elsewhere. ``torch.cuda.is_bf16_supported`` is no guide, nor is
    AVX-512's bfloat16: both are true where bfloat16 is slower than float32.

    Raises:
        InputError: Half precision is asked for where it would be slower, or is not to be had.
    """
    best = _preferred_dtype(device)
    if requested == "auto":
        return best
    made_for_both = device.type == "cuda" and best == torch.bfloat16  # float16 came before it
    if made_for_both or requested in ("float32", str(best).removeprefix("torch.")):
        return _DTYPES[requested]
    raise InputError(
        f"train.precision={requested} would be slower than float32 on this {device.type}, or is not to be "
        "had there; take auto or float32"
    )


def _preferred_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_capabilities().get("amx_bf16") else torch.float32
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return torch.float32
    made_for_bfloat16 = torch.cuda.get_device_capability(device) >= _BFLOAT16_CORES
    return torch.bfloat16 if made_for_bfloat16 else torch.float16


def _cpu_capabilities() -> dict[str, Any]:
    """Name what this CPU can do; an older PyTorch doesn't tell, and gets float32."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


@contextmanager
def autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Compute in this precision, where it is not the usual one."""
    if precision == torch.float32:
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", dtype=precision), _GroupedInFloat32():
            yield
    else:
        with torch.autocast(device.type, dtype=precision):
            yield


class _GroupedInFloat32(TorchFunctionMode):
    """Keeps grouped convolutions (as depthwise ones) in float32.

    On a CPU they make no use of matrix units, and their bfloat16 gradients cost more than all else: of
    EfficientNet-Lite0, bfloat16 with them is slower than float32, and faster without.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is not conv2d or (args[6] if len(args) > 6 else named.get("groups", 1)) == 1:
            return func(*args, **named)
        images, *rest = args
        with torch.autocast("cpu", enabled=False):
            return func(images.float(), *rest, **named).to(images.dtype)
