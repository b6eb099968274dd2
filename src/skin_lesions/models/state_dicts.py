"""Named tensors: read from a file without running anything in it, and put into a network that they fit."""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

State = OrderedDict[str, torch.Tensor]

# What torch.load was seen to raise, without running anything, for files with random bytes changed.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError),
    *(AssertionError, AttributeError, TypeError, OverflowError, MemoryError, struct.error),
)
_COUNTS = "num_batches_tracked"  # not every version of torch saved them, and nothing reads them


def load_tensors(path: Path, remedy: str, called: str | None = None) -> Any:
    """Read a file that torch saved, without executing anything in it.

    Raises:
        InputError: It is damaged or holds code; says what it is ``called``, and the remedy.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        # Of a KeyError and its like, the text is the key alone.
        is_told = str(error) and not isinstance(error, LookupError)
        why = str(error).splitlines()[0] if is_told else f"it ends in a {type(error).__name__}"
        raise InputError(
            f"{called or path} can't be read as a file that torch saved: {printable(why)} (files that would "
            f"run code on loading are refused); {remedy}"
        ) from None


def extract_state_dict(content: Any, path: Path) -> State:
    """Take the tensors out of what a file holds: as they are, or below ``state_dict`` or ``model``.

    Names that all begin with ``module.``, as training in several processes leaves them, lose it.

    Raises:
        InputError: There are no named tensors, or other things among them.
    """
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    remedy = "save it with: torch.save(network.state_dict(), path)"
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path} holds no weights: expected named tensors, or a dict with these below "
            f"state_dict or model, got {type(content).__name__}; {remedy}"
        )
    strangers = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise InputError(
            f"{path} holds more than weights: {len(strangers)} of {len(content)} entries are no "
            f"tensors (e.g. {printable(strangers[0])}); {remedy}"
        )
    wrapped = all(str(name).startswith("module.") for name in content)
    return rename_keys(content, lambda name: name.removeprefix("module.") if wrapped else name)


def rename_keys(state: dict[str, torch.Tensor], new_name: Callable[[str], str]) -> State:
    """Give each tensor another name."""
    copied = State((new_name(str(name)), tensor) for name, tensor in state.items())
    # The versions of the modules, by which torch converts what older ones saved.
    copied._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    return copied


def rename_by_position(state: State, network: nn.Module, head: Collection[str]) -> State:
    """Give the tensors the names of a network that has the same ones, in the same order.

    For one architecture written twice, with other names. Counts of batches are left out; the head may
    be for another number of classes. Where number or shapes differ, or the names are ours already,
    nothing is renamed.
    """
    theirs = [tensor for name, tensor in state.items() if not name.endswith(_COUNTS)]
    ours = {name: v for name, v in network.state_dict().items() if not name.endswith(_COUNTS)}
    if len(theirs) != len(ours) or ours.keys() <= state.keys():
        return state
    for tensor, (name, own) in zip(theirs, ours.items(), strict=True):
        if tensor.shape != own.shape and not (name in head and _same_inputs(tensor, own)):
            return state
    return State(zip(ours, theirs, strict=True))


def load_compatible_state_dict(
    network: nn.Module, state: State, head: Collection[str], error_prefix: str
) -> bool:
    """Put tensors into a network: each must fit, and only those of the head may be absent.

    Args:
        network: Changed in place.
        state: What goes in.
        head: Names of the tensors of the head; where these are for another number of classes, or
            absent, the network keeps its own.
        error_prefix: How the error begins.

    Returns:
        Whether the head went in too.

    Raises:
        InputError: Counts what lacks, what is too much and what has another shape, with examples.
    """
    own = network.state_dict()
    whole = all(name in state and state[name].shape == own[name].shape for name in head)
    kept = {n for n in head if not whole and _same_inputs(state.get(n, own[n]), own[n])}
    misshapen = [n for n in state if n in own and n not in kept and state[n].shape != own[n].shape]
    fitting = State((n, v) for n, v in state.items() if n not in {*kept, *misshapen})
    # What a file without versions holds is taken for what torch saves today.
    versions = getattr(state, "_metadata", None) or own._metadata  # type: ignore[attr-defined]
    fitting._metadata = versions  # type: ignore[attr-defined]
    try:
        missing, unexpected = network.load_state_dict(fitting, strict=False)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{error_prefix}: {printable(error)}") from None
    missing = [n for n in missing if n not in {*kept, *misshapen} and not n.endswith(_COUNTS)]
    problems = [
        f"{len(names)} tensors {what} (e.g. {printable(names[0])})"
        for what, names in {
            f"of {len(own)} are missing": missing,
            f"of {len(state)} are unknown to it": unexpected,
            "have another shape": misshapen,
        }.items()
        if names
    ]
    if problems:
        raise InputError(f"{error_prefix}: {', '.join(problems)}")
    return whole


def _same_inputs(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    """Tell whether two tensors of heads differ in nothing but the number of classes."""
    return theirs.ndim == ours.ndim and theirs.shape[1:] == ours.shape[1:]
