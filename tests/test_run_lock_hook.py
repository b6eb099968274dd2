"""The lock of the data root during a run."""

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.core.run_lock import RunLock
from skin_lesions.datasets import raw_images
from support.factories import class_folders, write_files

PARAMS = {
    "ingest": {"stored_image_size": 64},
    "train": {"weights": "none", "image_size": 32},
}


@pytest.fixture
def small_study(study, tmp_path):
    folder = write_files(tmp_path / "images", class_folders("nevus", "melanoma", each=2))
    return study(env="folder", source={"folder": str(folder)}, **PARAMS)


def is_locked(data_root):
    lock = RunLock(data_root)
    try:
        lock.acquire()
    except InputError:
        return True
    lock.release()
    return False


def test_data_root_is_locked_while_a_node_writes_and_free_afterwards(small_study, monkeypatch):
    seen = []
    original = raw_images.store_files

    def store_files(*args):
        seen.append(is_locked(small_study.data_root))
        return original(*args)

    monkeypatch.setattr(raw_images, "store_files", store_files)
    small_study.run("ingest")
    assert seen == [True]
    assert not is_locked(small_study.data_root)


def test_lock_is_released_after_an_error(small_study, monkeypatch):
    def store_files(*args):
        raise InputError("the disk is on fire")

    monkeypatch.setattr(raw_images, "store_files", store_files)
    with pytest.raises(Exception, match="on fire"):
        small_study.run("ingest")
    assert not is_locked(small_study.data_root)


def test_run_in_a_locked_data_root_is_rejected_and_keeps_the_lock_of_the_other(small_study):
    other = RunLock(small_study.data_root)
    other.acquire()
    with pytest.raises(InputError, match="is locked"):
        small_study.run("ingest")
    assert is_locked(small_study.data_root)
    other.release()
