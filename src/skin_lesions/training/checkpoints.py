"""Checkpoints of running trainings: one atomically written file per training.

Layout of the folder: ``<fingerprint>/checkpoint.pt`` and ``<fingerprint>/identity.json``. The
fingerprint is a hash of the identity of a training: recipe, images, split and code. It does not
depend on data versions or dates.
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
    """Checkpoints of a data root: one folder per unfinished training."""

    folder: Path

    def for_training(self, identity: Mapping[str, Any]) -> "Checkpoint":
        """Return the checkpoint of a training; ``identity`` is all that determines its weights."""
        return Checkpoint(self.folder / fingerprint(identity), identity)

    def discard(self, name: str) -> None:
        """Delete the checkpoint of a finished training; ``name`` is its fingerprint."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def summary(self) -> str:
        """Return the identity of each unfinished training, as JSON."""
        paths = sorted(self.folder.glob(f"*/{_IDENTITY}"))
        return json.dumps({path.parent.name: json.loads(path.read_text()) for path in paths})


@dataclass(frozen=True)
class Checkpoint:
    """The latest saved state of one training."""

    folder: Path
    identity: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The fingerprint of the training."""
        return self.folder.name

    def load(self, log_reason: bool = True) -> State | None:
        """Return the latest saved state, tensors on the CPU, or None if there is none.

        Args:
            log_reason: Whether to log why the training cannot resume.

        Raises:
            InputError: The file is damaged. A kill cannot cause that, but a faulty disk can.
        """
        # Left by a kill during a write. No other run writes here: this one locked the data root.
        for leftover in self.folder.glob(".*.partial*"):
            leftover.unlink(missing_ok=True)
        path = self.folder / _FILE
        if not path.exists():
            if log_reason:
                self._log_why_not_resuming()
            return None
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            raise InputError(
                f"Checkpoint {path} is damaged ({str(error).splitlines()[0]}). "
                f"Fix: delete the folder {self.folder} and run again to train from scratch"
            ) from None
        return state

    def save(self, state: State) -> None:
        """Replace the saved state; if the disk is full, the previous one remains.

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
        """Yield an ``AsyncCheckpointWriter``; leaving the block waits for its last write."""
        with ThreadPoolExecutor(1) as executor:
            writer = AsyncCheckpointWriter(self, executor)
            yield writer
            writer.wait()

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
            "Training started from scratch, not from the checkpoint of %s: %s. That checkpoint "
            "remains in %s for a run with its settings, images and code. Delete it if there will "
            "be no such run",
            time.strftime("%d %B, %H:%M", time.localtime(newest.stat().st_mtime)),
            "; ".join(changes),
            newest.parent,
        )


class AsyncCheckpointWriter:
    """Writes checkpoints in a background thread while training continues.

    An error of a write is raised by the next ``save`` or ``wait``.
    """

    def __init__(self, checkpoint: Checkpoint, executor: ThreadPoolExecutor):
        self._checkpoint, self._executor = checkpoint, executor
        self._pending: Future[None] | None = None

    def save(self, state: State) -> None:
        """Start a write after the previous one; tensors must not change, so pass a snapshot."""
        self.wait()
        self._pending = self._executor.submit(self._checkpoint.save, state)

    def wait(self) -> None:
        """Wait until the state is written.

        Raises:
            OSError: The disk is full; the previous checkpoint remains.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()


def _write(state: State, path: Path) -> None:
    try:
        # Checksums take two thirds of the time, and torch does not check them on loading.
        without_checksums = config.patch({"save.compute_crc32": False})  # type: ignore[attr-defined]
        with path.open("wb") as file, without_checksums:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # the cause: a full disk
            raise error.__context__ from None
        raise


def snapshot(value: Any) -> Any:
    """Return a copy of a state, tensors on the CPU, that further training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied = OrderedDict((name, snapshot(item)) for name, item in value.items())
        if hasattr(value, "_metadata"):  # versions in a state_dict, which some networks require
            vars(copied)["_metadata"] = value._metadata
        return copied
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    return value


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that are equal for equal identities."""
    content = json.dumps(identity, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def describe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one description per value that differs.

    >>> describe_differences({"epochs": 3, "code": "1"}, {"epochs": 5, "code": "1"})
    ['epochs was 3, is 5']
    """
    before, now = flatten(old), flatten(new)
    return [
        f"{name} was {before.get(name, 'not set')}, is {now.get(name, 'not set')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
