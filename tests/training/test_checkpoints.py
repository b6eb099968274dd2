import errno
from pathlib import Path

import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.training import checkpoints
from skin_lesions.training.checkpoints import Checkpoints, describe_differences, fingerprint
from support.disks import small_disk

IDENTITY = {"train": {"seed": 3, "crop": [0.5, 1.0]}, "code": "1"}


def state(value=1.0):
    weights = torch.full((3, 4, 5, 6), value).contiguous(memory_format=torch.channels_last)
    return {"weights": weights, "step": 7, "history": [{"loss": 0.5}], "ema": None}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoints(tmp_path / "checkpoints").for_training(IDENTITY)


def test_loaded_state_equals_the_saved_state_including_memory_format(checkpoint):
    checkpoint.save(state())
    loaded = checkpoint.load()
    assert torch.equal(loaded["weights"], state()["weights"])
    assert loaded["weights"].stride() == state()["weights"].stride()
    assert {**loaded, "weights": None} == {**state(), "weights": None}


def test_last_save_replaces_earlier_ones_and_leaves_one_file(checkpoint):
    with checkpoint.async_writer() as writer:
        for value in (1.0, 2.0, 3.0):
            writer.save(state(value))
    assert checkpoint.load()["weights"].max() == 3
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "checkpoint.pt",
        "identity.json",
    ]


def test_partial_file_is_deleted_and_the_previous_checkpoint_is_loaded(checkpoint):
    checkpoint.save(state())
    partial = checkpoint.folder / ".0a1b2c3d.partial.pt"
    partial.write_bytes(b"PK half of a")
    assert checkpoint.load()["step"] == 7
    assert not partial.exists()


def test_failed_save_is_raised_and_the_previous_checkpoint_remains(checkpoint, monkeypatch):
    checkpoint.save(state(1.0))

    def raise_disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", raise_disk_full)
    with checkpoint.async_writer() as writer:
        writer.save(state(2.0))
        with pytest.raises(OSError, match="No space left"):
            writer.wait()
    assert checkpoint.load()["weights"].max() == 1


def test_leaving_the_block_waits_for_the_last_save_and_raises_its_error(checkpoint, monkeypatch):
    def raise_disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", raise_disk_full)
    with pytest.raises(OSError, match="No space left"), checkpoint.async_writer() as writer:
        writer.save(state())


def test_full_disk_is_raised_as_os_error(tmp_path):
    """torch reports a failed write as a RuntimeError without errno."""
    with small_disk(tmp_path / "small", "1M") as disk:
        checkpoint = Checkpoints(disk).for_training(IDENTITY)
        checkpoint.save(state(1.0))
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save({"weights": torch.zeros(1_000_000)})
        assert checkpoint.load()["weights"].max() == 1
        assert not list(checkpoint.folder.glob(".*"))


def test_damaged_checkpoint_is_reported_with_the_fix(checkpoint):
    checkpoint.save(state())
    (checkpoint.folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"is damaged.* delete the folder .*checkpoints") as error:
        checkpoint.load()
    assert "weights_only" not in str(error.value)  # torch proposes to execute its code


def test_malicious_checkpoint_is_rejected_and_not_executed(checkpoint, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    checkpoint.save(state())
    torch.save({"weights": Malicious()}, checkpoint.folder / "checkpoint.pt")
    with pytest.raises(InputError, match="is damaged, or another program wrote it"):
        checkpoint.load()
    assert not (tmp_path / "was_run").exists()


def test_fingerprint_does_not_depend_on_the_order_of_keys(tmp_path):
    reordered = {"code": "1", "train": {"crop": [0.5, 1.0], "seed": 3}}
    assert fingerprint(reordered) == fingerprint(IDENTITY)
    assert fingerprint({**IDENTITY, "code": "2"}) != fingerprint(IDENTITY)


def test_only_differences_are_described():
    new = {"train": {"seed": 4, "crop": [0.5, 1.0]}, "torch": "2"}
    assert describe_differences(IDENTITY, new) == [
        "train.seed was 3, is 4",
        "code was 1, is not set",
        "torch was not set, is 2",
    ]


def test_discarding_one_training_does_not_delete_the_others(tmp_path):
    store = Checkpoints(tmp_path)
    first, second = store.for_training(IDENTITY), store.for_training({**IDENTITY, "code": "2"})
    first.save(state())
    second.save(state())
    store.discard(first.name)
    assert not first.folder.exists()
    assert second.load() is not None
    store.discard("never_saved")


def test_error_of_a_worker_is_kept_until_it_is_cleared(checkpoint):
    assert checkpoint.read_error() is None
    checkpoint.write_error("Disk full")
    assert checkpoint.read_error() == "Disk full"
    checkpoint.clear_error()
    checkpoint.clear_error()
    assert checkpoint.read_error() is None


def test_ray_gets_an_absolute_folder_beside_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoints(Path("data")).for_training(IDENTITY)
    assert checkpoint.ray_storage == tmp_path / "data" / checkpoint.name
