"""Lock of a data root: only one run at a time writes to it."""

import errno
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
            InputError: Another process holds the lock; the message names it. Or the data root
                cannot be created or written.
        """
        owner_file = self._root / ".lock.owner"
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            owner_file.write_text(f"process {os.getpid()}", encoding="utf-8")
        except Timeout:
            owner = (
                owner_file.read_text(encoding="utf-8") if owner_file.exists() else "another process"
            )
            raise InputError(
                f"The data root {self._root} is locked: {owner} is writing to it. "
                "Wait until it ends, or choose another location: --params data_root=/path"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise InputError(
                f"The data root {self._root} is not a folder that this user can write to "
                f"({error.strerror or error}). Fix: change its permissions, or choose another "
                "location: --params data_root=/path"
            ) from None

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        self._lock.release()
