"""Mixed precision: choice of the data type for a device, and autocasting to it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch.nn.functional import conv2d
from torch.overrides import TorchFunctionMode

log = logging.getLogger(__name__)

# Minimum CUDA compute capability: of GPUs with tensor cores, and with bfloat16 tensor cores.
_TENSOR_CORES = (7, 0)
_BFLOAT16_CORES = (8, 0)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_precision(device: torch.device, requested: str) -> torch.dtype:
    """Return the requested precision; ``auto`` selects the fastest one that was measured.

    On NVIDIA GPUs this is the precision of the tensor cores: bfloat16 since Ampere, float16 for
    Volta and Turing. On CPUs it is bfloat16 for AMX, and for AVX-512 with bfloat16 on processors of
    AMD. It is float32 elsewhere. ``torch.cuda.is_bf16_supported`` is not used, because it is also
    true where bfloat16 is slower than float32. The measured speeds are in decision 0090.
    """
    return _fastest_precision(device) if requested == "auto" else _DTYPES[requested]


def warn_if_slow(device: torch.device, requested: str) -> None:
    """Log a warning if the requested precision was not measured to be faster than float32."""
    fastest = _fastest_precision(device)
    # GPUs with bfloat16 tensor cores support float16 as well.
    is_fast = device.type == "cuda" and fastest == torch.bfloat16
    if requested not in ("auto", "float32", _name(fastest)) and not is_fast:
        log.warning(
            "train.precision=%s may be slower than float32 on this %s; auto selects %s",
            requested,
            device.type,
            _name(fastest),
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _fastest_precision(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        # Older versions of torch do not have this function: they use float32.
        cpu: dict[str, bool | int | str] = getattr(torch.cpu, "get_capabilities", dict)()
        is_amd = str(cpu.get("cpu_name", "")).startswith("AMD")
        is_fast = cpu.get("amx_bf16") or (is_amd and cpu.get("avx512_bf16"))
        return torch.bfloat16 if is_fast else torch.float32
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
        with torch.autocast("cpu", dtype=precision), _SomeConvInFloat32():
            yield
    else:
        with torch.autocast(device.type, dtype=precision):
            yield


class _SomeConvInFloat32(TorchFunctionMode):
    """Runs two kinds of convolutions in float32, because bfloat16 has disadvantages on CPUs.

    - Grouped convolutions, for example depthwise convolutions: their bfloat16 gradients take more
      time than everything else. EfficientNet-Lite0 in bfloat16 is slower than in float32 if they
      are included, and faster if they are excluded.
    - Convolutions with a kernel larger than the feature map: with AVX-512, the gradient of their
      weights depends on the content of unused memory and can be NaN.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        keywords = dict(kwargs or {})
        is_conv = func is conv2d
        if not is_conv:
            return func(*args, **keywords)
        # The seventh positional argument of conv2d is ``groups``.
        groups = args[6] if len(args) > 6 else keywords.get("groups", 1)
        inputs, weight = (cast(torch.Tensor, arg) for arg in args[:2])
        is_larger = any(
            kernel > size for kernel, size in zip(weight.shape[2:], inputs.shape[2:], strict=True)
        )
        if groups == 1 and not is_larger:
            return func(*args, **keywords)
        with torch.autocast("cpu", enabled=False):
            outputs = cast(torch.Tensor, func(inputs.float(), *args[1:], **keywords))
        return outputs.to(inputs.dtype)
