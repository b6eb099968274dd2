"""Mixed precision: choice of the data type for a device, and autocasting to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch.nn.functional import conv2d
from torch.overrides import TorchFunctionMode

from skin_lesions.core.errors import InputError

# Minimum CUDA compute capability: of GPUs with tensor cores, and with bfloat16 tensor cores.
_TENSOR_CORES = (7, 0)
_BFLOAT16_CORES = (8, 0)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_precision(device: torch.device, requested: str) -> torch.dtype:
    """Return the requested precision; ``auto`` selects the one of the matrix units of the device.

    These are bfloat16 on Intel CPUs with AMX and on NVIDIA GPUs since Ampere, float16 on NVIDIA
    GPUs of Volta and Turing, and float32 elsewhere. ``torch.cuda.is_bf16_supported`` and AVX-512
    support of bfloat16 are not used: both are true where bfloat16 is slower than float32.

    Raises:
        InputError: The requested half precision would be slower on this device, or is not
            supported.
    """
    best = _preferred_dtype(device)
    if requested == "auto":
        return best
    # GPUs with bfloat16 tensor cores support float16 as well.
    has_both = device.type == "cuda" and best == torch.bfloat16
    if has_both or requested in ("float32", str(best).removeprefix("torch.")):
        return _DTYPES[requested]
    raise InputError(
        f"train.precision={requested} would be slower than float32 on this {device.type}, or is "
        "not supported there. Set train.precision to auto or float32"
    )


def _preferred_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        # Older versions of torch do not have this function: they use float32.
        capabilities: dict[str, bool | int | str] = getattr(torch.cpu, "get_capabilities", dict)()
        return torch.bfloat16 if capabilities.get("amx_bf16") else torch.float32
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return torch.float32
    has_bfloat16 = torch.cuda.get_device_capability(device) >= _BFLOAT16_CORES
    return torch.bfloat16 if has_bfloat16 else torch.float16


@contextmanager
def autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Compute in this precision inside the ``with`` block; float32 changes nothing."""
    if precision == torch.float32:
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", dtype=precision), _GroupedConvInFloat32():
            yield
    else:
        with torch.autocast(device.type, dtype=precision):
            yield


class _GroupedConvInFloat32(TorchFunctionMode):
    """Runs grouped convolutions (for example depthwise convolutions) in float32.

    On a CPU they do not use the matrix units, and their bfloat16 gradients take more time than
    everything else. EfficientNet-Lite0 in bfloat16 is slower than in float32 if they are included,
    and faster if they are excluded.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        keywords = dict(kwargs or {})
        # The seventh positional argument of conv2d is ``groups``.
        groups = args[6] if len(args) > 6 else keywords.get("groups", 1)
        is_grouped_conv = func is conv2d and groups != 1
        if not is_grouped_conv:
            return func(*args, **keywords)
        inputs = cast(torch.Tensor, args[0])
        with torch.autocast("cpu", enabled=False):
            outputs = cast(torch.Tensor, func(inputs.float(), *args[1:], **keywords))
        return outputs.to(inputs.dtype)
