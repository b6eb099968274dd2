"""Checkpoints of running trainings: one file each, whole or not there, found again by what is trained.

Layout of the folder: ``<fingerprint>/checkpoint.pt`` and ``<fingerprint>/identity.json``. The
fingerprint names the identity of a training: recipe, images, split and code, never versions or dates.
"""

import hashlib
import json
import logging
import pickle
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.serialization import config

from skin_lesions.config.base import flatten
from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError

log = logging.getLogger(__name__)

State = dict[str, Any]
_FILE, _IDENTITY = "checkpoint.pt", "identity.json"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a data root: a folder for each training that is not over."""

    folder: Path

    def for_training(self, identity: Mapping[str, Any]) -> "Checkpoint":
        """Return the place of one training; ``identity`` holds all that shapes its weights."""
        return Checkpoint(self.folder / fingerprint(identity), identity)

    def discard(self, name: str) -> None:
        """Remove the checkpoints of a training (its fingerprint) that is over."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def summary(self) -> str:
        """Tell what each training that is not over is about, as JSON."""
        paths = sorted(self.folder.glob(f"*/{_IDENTITY}"))
        return json.dumps({path.parent.name: json.loads(path.read_text()) for path in paths})


@dataclass(frozen=True)
class Checkpoint:
    """Where one training keeps its latest state."""

    folder: Path
    identity: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The fingerprint of the training."""
        return self.folder.name

    def load(self, log_reason: bool = True) -> State | None:
        """Return the latest whole state, tensors on the CPU; None (and why, in the log) without one.

        Args:
            log_reason: Whether to log why.

        Raises:
            InputError: The file is damaged: a kill leaves none like that, a bad disk may.
        """
        for leftover in self.folder.glob(".*.partial*"):
            leftover.unlink(
                missing_ok=True
            )  # of a kill while writing; the lock of the data root is ours
        path = self.folder / _FILE
        if not path.exists():
            if log_reason:
                self._log_why_not_resuming()
            return None
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            raise InputError(
                f"{path} is damaged ({str(error).splitlines()[0]}); to train from the start, "
                f"delete the folder {self.folder} and run again"
            ) from None
        return state

    def save(self, state: State) -> None:
        """Replace the latest state; on a full disk the one before stays.

        Raises:
            OSError: The disk is full.
        """
        identity = self.folder / _IDENTITY
        if not identity.exists():
            with atomic_write(identity) as partial:
                partial.write_text(json.dumps(self.identity, indent=2) + "\n")
        with atomic_write(self.folder / _FILE) as partial:
            _write(state, partial)

    @contextmanager
    def async_writer(self) -> Iterator["AsyncCheckpointWriter"]:
        """Give a ``AsyncCheckpointWriter``; leaving the block waits for what it writes."""
        with ThreadPoolExecutor(1) as writer:
            saver = AsyncCheckpointWriter(self, writer)
            yield saver
            saver.wait()

    def _log_why_not_resuming(self) -> None:
        others = [
            path for path in self.folder.parent.glob(f"*/{_FILE}") if path.parent != self.folder
        ]
        if not others:
            return
        newest = max(others, key=lambda path: path.stat().st_mtime)
        changes = describe_differences(
            json.loads((newest.parent / _IDENTITY).read_text()), self.identity
        )
        log.info(
            "Starting afresh, not from the checkpoint of %s: %s. That one stays in %s for a run that "
            "is as it was; delete it if there will be none",
            time.strftime("%d %B, %H:%M", time.localtime(newest.stat().st_mtime)),
            "; ".join(changes),
            newest.parent,
        )


class AsyncCheckpointWriter:
    """Writes states beside the training that goes on.

    What went wrong in writing is raised by the next ``save`` or ``wait``.
    """

    def __init__(self, checkpoint: Checkpoint, writer: ThreadPoolExecutor):
        self._checkpoint, self._writer = checkpoint, writer
        self._writing: Future[None] | None = None

    def save(self, state: State) -> None:
        """Write once the state before is written; the tensors must not change: take a snapshot."""
        self.wait()
        self._writing = self._writer.submit(self._checkpoint.save, state)

    def wait(self) -> None:
        """Wait until the state is written.

        Raises:
            OSError: The disk is full; the state before is kept.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()


def _write(state: State, path: Path) -> None:
    try:
        # Nobody compares checksums on loading, torch neither; they cost two thirds of the time.
        unchecked = config.patch({"save.compute_crc32": False})  # type: ignore[attr-defined]
        with path.open("wb") as file, unchecked:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # what torch failed of: a full disk
            raise error.__context__ from None
        raise


def snapshot(value: Any) -> Any:
    """Copy a state, tensors to the CPU: training goes on without changing the copy."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied = OrderedDict((name, snapshot(part)) for name, part in value.items())
        if hasattr(value, "_metadata"):  # of a state_dict: versions, which some networks insist on
            vars(copied)["_metadata"] = value._metadata
        return copied
    if isinstance(value, list):
        return [snapshot(part) for part in value]
    return value


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Name an identity: 16 hex digits, equal for equal content."""
    content = json.dumps(identity, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def describe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Tell each value that differs.

    >>> differences({"train": {"epochs": 3}, "code": "1"}, {"train": {"epochs": 5}, "code": "1"})
    ['train.epochs was 3, is 5']
    """
    before, now = flatten(old), flatten(new)
    return [
        f"{name} was {before.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
