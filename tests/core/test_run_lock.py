import gc

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
