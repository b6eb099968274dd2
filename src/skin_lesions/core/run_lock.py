"""Lock of a data root: only one run at a time writes to it."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from skin_lesions.core.errors import InputError


class RunLock:
    """A lock of one data root. The system releases it when the process ends, even by a kill."""

    def __init__(self, data_root: Path):
        self._root = data_root
        self._lock = FileLock(data_root / ".lock")

    def acquire(self) -> None:
        """Create the data root if necessary and lock it.

        Raises:
            InputError: Another process holds the lock; the message names it.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        owner_file = self._root / ".lock.owner"
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            owner = (
                owner_file.read_text(encoding="utf-8") if owner_file.exists() else "another process"
            )
            raise InputError(
                f"The data root {self._root} is locked: {owner} is writing to it. "
                "Wait until it ends, or choose another location: --params data_root=/path"
            ) from None
        owner_file.write_text(f"process {os.getpid()}", encoding="utf-8")

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        self._lock.release()
