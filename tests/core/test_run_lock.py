import errno
import gc
from pathlib import Path

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.core.run_lock import RunLock


def test_second_lock_is_rejected_with_the_owner_and_another_location(tmp_path):
    first, second = RunLock(tmp_path / "data"), RunLock(tmp_path / "data")
    first.acquire()
    with pytest.raises(InputError, match=r"process \d+ is writing to it.*data_root=/path"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_release_without_a_lock_does_nothing(tmp_path):
    RunLock(tmp_path).release()


def test_lock_is_held_until_its_release(tmp_path):
    """An object that only a local name refers to would be deleted, and release the lock."""
    first = RunLock(tmp_path)
    first.acquire()
    gc.collect()
    for _ in range(2):
        with pytest.raises(InputError, match="is locked"):
            RunLock(tmp_path).acquire()
    first.release()


@pytest.mark.parametrize("folder", ["file", "file/data"])
def test_data_root_that_is_a_file_is_reported_with_the_fix(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"is not a folder .* \(\w+.*\)\. Fix: .*data_root=/path"):
        RunLock(tmp_path / folder).acquire()


def test_read_only_data_root_is_reported_with_the_reason(tmp_path, monkeypatch):
    """Simulated, because root can write everywhere."""

    def reject(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", reject)
    with pytest.raises(InputError, match="Permission denied"):
        RunLock(tmp_path / "data").acquire()
