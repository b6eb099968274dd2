"""State dicts: safe loading from files, renaming of keys, and loading into a matching network."""

import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

State = OrderedDict[str, torch.Tensor]

# Exceptions that torch.load raised, without executing code, for files with random bytes changed.
_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
_COUNTS = "num_batches_tracked"  # optional: not saved by every version of torch, and not used


def load_tensors(path: Path, remedy: str, called: str | None = None) -> object:
    """Load a file that was saved by torch, without executing code in it.

    Args:
        path: File to load.
        remedy: Last sentence of the error message.
        called: Name of the file in the error message; by default, the path.

    Raises:
        InputError: The file is damaged, contains code, or has the format safetensors.
    """
    name = called or str(path)
    if path.suffix == ".safetensors":  # only some versions of torch read it
        raise InputError(
            f"{name} is a safetensors file. Expected a file of torch.save. To convert it: "
            f"torch.save(safetensors.torch.load_file({path.name!r}), 'weights.pth'). {remedy}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{name} {_load_problem(error)}. {remedy}") from None


def _load_problem(error: Exception) -> str:
    """Describe why torch.load failed. Its own text proposes to execute the code in the file."""
    code = re.search(r"GLOBAL (\S+)|TorchScript", str(error))
    if code:
        return (
            f"contains code or Python objects ({printable(code[1] or code[0])}), and loading these "
            "could execute code. Expected only tensors. To convert it, run "
            "torch.save(network.state_dict(), path) where the network was saved"
        )
    # The message of a LookupError is only the missing key.
    if isinstance(error, LookupError) or not str(error) or "weights_only" in str(error):
        reason = "it is damaged, or torch.save did not write it (code in files is never executed)"
    else:
        reason = str(error).splitlines()[0]
    return f"is not a readable PyTorch file: {printable(reason)}"


def extract_state_dict(content: object, path: Path) -> State:
    """Return the tensors of a loaded file: its top level, or its ``state_dict`` or ``model``.

    If all names begin with ``module.``, as after distributed training, this prefix is removed.

    Raises:
        InputError: There are no named tensors, or there are other objects among them.
    """
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    remedy = "Save it with: torch.save(network.state_dict(), path)"
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path} contains no weights. Expected named tensors, or a dict with these under "
            f"state_dict or model, got {type(content).__name__}. {remedy}"
        )
    not_tensors = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if not_tensors:
        raise InputError(
            f"{path} contains more than weights: {len(not_tensors)} of {len(content)} entries are "
            f"not tensors (e.g. {printable(not_tensors[0])}). {remedy}"
        )
    has_prefix = all(str(name).startswith("module.") for name in content)
    return rename_keys(content, lambda name: name.removeprefix("module.") if has_prefix else name)


def rename_keys(state: dict[str, torch.Tensor], new_name: Callable[[str], str]) -> State:
    """Return the same tensors with other names."""
    renamed = State((new_name(str(name)), tensor) for name, tensor in state.items())
    # The versions of the modules: torch uses them to convert state dicts of older versions.
    renamed._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return renamed


def load_compatible_state_dict(
    network: nn.Module, state: State, head: Collection[str], error_prefix: str
) -> bool:
    """Load tensors into a network. All must match; only those of the head may be missing.

    Args:
        network: Changed in place.
        state: Tensors to load.
        head: Names of the tensors of the head. If the head in ``state`` is missing or has another
            number of classes, the network keeps its own head.
        error_prefix: Beginning of the error message.

    Returns:
        Whether the head was loaded.

    Raises:
        InputError: Tensors are missing, unexpected, or of a different shape. The message has their
            numbers and examples.
    """
    own = network.state_dict()
    has_head = all(name in state and state[name].shape == own[name].shape for name in head)
    # Tensors of the head that stay as they are in the network.
    skipped = {n for n in head if not has_head and _same_inputs(state.get(n, own[n]), own[n])}
    mismatched = [
        n for n in state if n in own and n not in skipped and state[n].shape != own[n].shape
    ]
    matching = State((n, v) for n, v in state.items() if n not in {*skipped, *mismatched})
    # A file without module versions is treated as saved by the current version of torch.
    versions = getattr(state, "_metadata", None) or own._metadata  # type: ignore[attr-defined]
    matching._metadata = versions  # type: ignore[attr-defined]
    try:
        missing, unexpected = network.load_state_dict(matching, strict=False)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{error_prefix}: {printable(error)}") from None
    missing = [n for n in missing if n not in {*skipped, *mismatched} and not n.endswith(_COUNTS)]
    problems = [
        f"{len(names)} tensors {what} (e.g. {printable(names[0])})"
        for what, names in {
            f"of {len(own)} are missing": missing,
            f"of {len(state)} are unexpected": unexpected,
            "have a different shape": mismatched,
        }.items()
        if names
    ]
    if problems:
        raise InputError(f"{error_prefix}: {', '.join(problems)}")
    return has_head


def _same_inputs(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    """Return whether two tensors of heads differ only in the number of classes (axis 0)."""
    return theirs.ndim == ours.ndim and theirs.shape[1:] == ours.shape[1:]


def check_tensor_values(state: State, network: nn.Module, path: Path) -> None:
    """Check that the weights in a file are finite floating-point numbers.

    Only tensors with the name and shape of a floating-point tensor of the network are checked, as
    all others are not loaded or are counters. float16, bfloat16 and float64 are converted.

    Raises:
        InputError: A tensor has integer or complex numbers, is sparse or without content, or
            contains NaN or infinite values. The message has its name.
    """
    remedy = "Set train.weights to another weights file"
    not_finite = []
    for name, own in network.state_dict().items():
        tensor = state.get(name, own)
        if not own.is_floating_point() or tensor.shape != own.shape:
            continue
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
            kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device}".replace("torch.", "")
            raise InputError(
                f"{path}: the tensor {name} cannot be used as weights ({kind}). Expected a dense "
                f"tensor of float16, bfloat16, float32 or float64. {remedy}"
            )
        if not tensor.to(own.dtype).isfinite().all():
            not_finite.append(name)
    if not_finite:
        raise InputError(
            f"{path}: {len(not_finite)} tensors contain NaN or infinite values (e.g. "
            f"{not_finite[0]}). Expected finite weights. The file is damaged, or its training "
            f"diverged. {remedy}"
        )
