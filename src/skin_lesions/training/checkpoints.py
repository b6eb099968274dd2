"""Checkpoints of running trainings: one atomically written file per training.

Layout of the folder: ``<fingerprint>/checkpoint.pt`` and ``<fingerprint>/identity.json``. The
fingerprint is a hash of the identity of a training: recipe, images, split and code. It does not
depend on data versions or dates. A launcher adds ``worker_error.txt`` if a worker fails.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from skin_lesions.config.base import flatten
from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import abbreviate_home

log = logging.getLogger(__name__)

StateDict = dict[str, Any]  # as torch declares it
_FILE = "checkpoint.pt"
_IDENTITY = "identity.json"
_ERROR = "worker_error.txt"


class Environment(TypedDict):
    """Device, precision and number of processes of a training."""

    device: str
    precision: str
    processes: int


class TrainingState(TypedDict):
    """Content of a checkpoint: all that a training needs to resume, except its job."""

    environment: Environment
    network: StateDict
    optimizer: StateDict
    scaler: StateDict
    ema: StateDict | None
    progress: StateDict


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of a data root: one folder per unfinished training."""

    folder: Path

    def for_training(self, identity: Mapping[str, object]) -> "Checkpoint":
        """Return the checkpoint of a training; ``identity`` is all that determines its weights."""
        return Checkpoint(self.folder / fingerprint(identity), identity)

    def discard(self, name: str) -> None:
        """Delete the checkpoint of a finished training; ``name`` is its fingerprint."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def summary(self) -> str:
        """Return the identity of each unfinished training, as JSON."""
        paths = sorted(self.folder.glob(f"*/{_IDENTITY}"))
        return json.dumps(
            {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
        )


@dataclass(frozen=True)
class Checkpoint:
    """The latest saved state of one training."""

    folder: Path
    identity: Mapping[str, object]

    @property
    def name(self) -> str:
        """The fingerprint of the training."""
        return self.folder.name

    @property
    def ray_storage(self) -> Path:
        """Absolute folder in which Ray stores its own files, below a name that it is given."""
        return self.folder.resolve()

    def load(self, *, log_reason: bool = True) -> TrainingState | None:
        """Return the latest saved state, tensors on the CPU, or None if there is none.

        Args:
            log_reason: Whether to log why the training cannot resume.

        Raises:
            InputError: The file is damaged. A kill cannot cause that, but a faulty disk can.
        """
        from skin_lesions.models.state_dicts import load_tensors  # noqa: PLC0415 (torch)

        # Left by a kill during a write. No other run writes here: this one locked the data root.
        for leftover in self.folder.glob(".*.partial*"):
            leftover.unlink(missing_ok=True)
        path = self.folder / _FILE
        if not path.exists():
            if log_reason:
                self._log_why_not_resuming()
            return None
        try:
            state = load_tensors(path, "")
        except InputError as error:
            raise InputError(
                f"Checkpoint {path} is damaged, or another program wrote it. "
                f"Fix: delete the folder {self.folder} and run again to train from scratch"
            ) from error
        return cast(TrainingState, state)

    def save(self, state: TrainingState) -> None:
        """Replace the saved state; if the disk is full, the previous one remains.

        Raises:
            OSError: The disk is full.
        """
        identity = self.folder / _IDENTITY
        if not identity.exists():
            with atomic_write(identity) as partial:
                partial.write_text(json.dumps(self.identity, indent=2) + "\n", encoding="utf-8")
        with atomic_write(self.folder / _FILE) as partial:
            _write(state, partial)

    @contextmanager
    def async_writer(self) -> Iterator["AsyncCheckpointWriter"]:
        """Yield an ``AsyncCheckpointWriter``; leaving the block waits for its last write."""
        with ThreadPoolExecutor(1) as executor:
            writer = AsyncCheckpointWriter(self, executor)
            yield writer
            writer.wait()

    def write_error(self, message: str) -> None:
        """Save an error of a worker that a restart cannot fix, for the launching process."""
        with atomic_write(self.folder / _ERROR) as partial:
            partial.write_text(message, encoding="utf-8")

    def read_error(self) -> str | None:
        """Return the saved error of a worker, or None if there is none."""
        path = self.folder / _ERROR
        return path.read_text(encoding="utf-8") if path.exists() else None

    def clear_error(self) -> None:
        """Delete the saved error of a worker."""
        (self.folder / _ERROR).unlink(missing_ok=True)

    def _log_why_not_resuming(self) -> None:
        others = [
            path for path in self.folder.parent.glob(f"*/{_FILE}") if path.parent != self.folder
        ]
        if not others:
            return
        newest = max(others, key=lambda path: path.stat().st_mtime)
        changes = describe_differences(
            json.loads((newest.parent / _IDENTITY).read_text(encoding="utf-8")), self.identity
        )
        log.info(
            "Training started from scratch, not from the checkpoint of %s: %s. That checkpoint "
            "remains in %s for a run with its settings, images and code. Delete it if there will "
            "be no such run",
            time.strftime("%d %B, %H:%M", time.localtime(newest.stat().st_mtime)),
            "; ".join(changes),
            abbreviate_home(newest.parent),
        )


class AsyncCheckpointWriter:
    """Writes checkpoints in a background thread while training continues.

    An error of a write is raised by the next ``save`` or ``wait``.
    """

    def __init__(self, checkpoint: Checkpoint, executor: ThreadPoolExecutor):
        self._checkpoint = checkpoint
        self._executor = executor
        self._pending: Future[None] | None = None

    def save(self, state: TrainingState) -> None:
        """Start a write after the previous one; tensors must not change, so pass a snapshot."""
        self.wait()
        self._pending = self._executor.submit(self._checkpoint.save, state)

    def wait(self) -> None:
        """Wait until the state is written.

        Raises:
            OSError: The disk is full; the previous checkpoint remains.
        """
        if self._pending is not None:
            pending = self._pending
            self._pending = None
            pending.result()


def _write(state: TrainingState, path: Path) -> None:
    import torch  # noqa: PLC0415
    from torch.utils.serialization import config  # noqa: PLC0415

    try:
        # Checksums take two thirds of the time, and torch does not check them on loading.
        without_checksums = config.patch({"save.compute_crc32": False})  # type: ignore[attr-defined]
        with path.open("wb") as file, without_checksums:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # the cause: a full disk
            raise error.__context__ from None
        raise


def fingerprint(identity: Mapping[str, object]) -> str:
    """Return 16 hexadecimal digits that are equal for equal identities."""
    content = json.dumps(identity, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def describe_differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
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
