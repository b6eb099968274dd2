"""State dicts: safe loading from files, renaming of keys, and loading into a matching network."""

import pickle
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
        InputError: The file is damaged or contains code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        reason = f"torch.load raised {type(error).__name__}"
        # The message of a LookupError is only the missing key.
        if str(error) and not isinstance(error, LookupError):
            reason = str(error).splitlines()[0]
        raise InputError(
            f"{called or path} is not a readable PyTorch file: {printable(reason)} (files that "
            f"would run code on loading are rejected). {remedy}"
        ) from None


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
