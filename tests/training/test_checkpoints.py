import errno

import pytest
import torch
import torchvision

from skin_lesions.core.errors import InputError
from skin_lesions.training import checkpoints
from skin_lesions.training.checkpoints import (
    Checkpoints,
    describe_differences,
    fingerprint,
    snapshot,
)
from support.disks import small_disk

IDENTITY = {"train": {"seed": 3, "crop": [0.5, 1.0]}, "code": "1"}


def state(value=1.0):
    weights = torch.full((3, 4, 5, 6), value).contiguous(memory_format=torch.channels_last)
    return {"weights": weights, "step": 7, "records": [{"loss": 0.5}], "average": None}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoints(tmp_path / "checkpoints").for_training(IDENTITY)


def test_a_state_comes_back_as_it_was_memory_order_included(checkpoint):
    checkpoint.save(state())
    loaded = checkpoint.load()
    assert torch.equal(loaded["weights"], state()["weights"])
    assert loaded["weights"].stride() == state()["weights"].stride()
    assert {**loaded, "weights": None} == {**state(), "weights": None}


def test_the_last_save_counts_and_leaves_one_file(checkpoint):
    with checkpoint.async_writer() as saver:
        for value in (1.0, 2.0, 3.0):
            saver.save(state(value))
    assert checkpoint.load()["weights"].max() == 3
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "checkpoint.pt",
        "identity.json",
    ]


def test_a_half_written_file_is_swept_away_and_the_whole_one_before_it_counts(checkpoint):
    checkpoint.save(state())
    half = checkpoint.folder / ".0a1b2c3d.partial.pt"
    half.write_bytes(b"PK half of a")
    assert checkpoint.load()["step"] == 7
    assert not half.exists()


def test_a_failed_save_keeps_the_state_before_and_is_raised(checkpoint, monkeypatch):
    checkpoint.save(state(1.0))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", full)
    with checkpoint.async_writer() as saver:
        saver.save(state(2.0))
        with pytest.raises(OSError, match="No space left"):
            saver.wait()
    assert checkpoint.load()["weights"].max() == 1


def test_leaving_the_block_waits_for_the_last_save_and_raises_its_error(checkpoint, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write", full)
    with pytest.raises(OSError, match="No space left"), checkpoint.async_writer() as saver:
        saver.save(state())


def test_a_full_disk_is_told_as_one(tmp_path):
    """torch reports a failed write as a RuntimeError without errno."""
    with small_disk(tmp_path / "small", "1M") as disk:
        checkpoint = Checkpoints(disk).for_training(IDENTITY)
        checkpoint.save(state(1.0))
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save({"weights": torch.zeros(1_000_000)})
        assert checkpoint.load()["weights"].max() == 1
        assert not list(checkpoint.folder.glob(".*"))


def test_a_damaged_file_is_named_with_the_remedy(checkpoint):
    checkpoint.save(state())
    (checkpoint.folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"is damaged .* delete the folder .*checkpoints"):
        checkpoint.load()


def test_a_malicious_checkpoint_is_refused_and_not_run(checkpoint, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    checkpoint.save(state())
    torch.save({"weights": Malicious()}, checkpoint.folder / "checkpoint.pt")
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load()
    assert not (tmp_path / "was_run").exists()


def test_equal_identities_share_a_place_whatever_the_order_of_their_parts(tmp_path):
    reordered = {"code": "1", "train": {"crop": [0.5, 1.0], "seed": 3}}
    assert fingerprint(reordered) == fingerprint(IDENTITY)
    assert fingerprint({**IDENTITY, "code": "2"}) != fingerprint(IDENTITY)


def test_only_what_differs_is_told():
    new = {"train": {"seed": 4, "crop": [0.5, 1.0]}, "torch": "2"}
    assert describe_differences(IDENTITY, new) == [
        "train.seed was 3, is 4",
        "code was 1, is not there",
        "torch was not there, is 2",
    ]


def test_discarding_one_training_leaves_the_others(tmp_path):
    place = Checkpoints(tmp_path)
    first, second = place.for_training(IDENTITY), place.for_training({**IDENTITY, "code": "2"})
    first.save(state())
    second.save(state())
    place.discard(first.name)
    assert not first.folder.exists()
    assert second.load() is not None
    place.discard("never there")


def test_a_snapshot_does_not_change_with_what_it_was_taken_of():
    taken_of = state()
    taken = snapshot(taken_of)
    taken_of["weights"] += 1
    taken_of["records"][0]["loss"] = 9
    taken_of["records"].append({})
    assert torch.equal(taken["weights"], state()["weights"])
    assert taken["records"] == [{"loss": 0.5}]
    assert taken["weights"].stride() == taken_of["weights"].stride()


def test_a_snapshot_of_a_network_fits_it_through_a_file_too(checkpoint):
    """MNASNet refuses a state that does not tell its version, which stands beside the tensors."""
    network = torchvision.models.mnasnet0_5(num_classes=2)
    network.load_state_dict(snapshot(network.state_dict()))
    checkpoint.save({"network": snapshot(network.state_dict())})
    network.load_state_dict(checkpoint.load()["network"])
