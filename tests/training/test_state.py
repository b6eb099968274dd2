from dataclasses import fields

import torch
import torchvision

from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.state import TrainingProgress, snapshot


def record(epoch):
    return {
        "epoch": epoch,
        "image_size": 32,
        "learning_rate": 1e-3,
        "train_loss": 0.5,
        "train_accuracy": 0.8,
        "val_loss": 0.6,
        "val_accuracy": 0.7,
        "val_balanced_accuracy": 0.75,
        "seconds": 2.0,
        "images_per_second": 30.0,
    }


def progress():
    return TrainingProgress(
        epoch_totals=torch.tensor([3.5, 12.0]),
        epoch=4,
        step=2,
        seconds=1.5,
        history=[record(epoch) for epoch in (1, 2, 3)],
        best_value=0.75,
        best_weights={"weight": torch.arange(3.0)},
    )


def test_progress_is_restored_completely_from_a_checkpoint(tmp_path):
    saved = progress()
    checkpoint = Checkpoints(tmp_path).for_training({"a": 1})
    checkpoint.save({"progress": snapshot(saved.state_dict())})
    restored = TrainingProgress()
    restored.load_state_dict(checkpoint.load()["progress"])
    initial = TrainingProgress()
    for field in fields(TrainingProgress):
        expected, actual = getattr(saved, field.name), getattr(restored, field.name)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
        assert str(actual) != str(getattr(initial, field.name)), "the test uses an initial value"


def test_loaded_totals_are_on_the_device_of_the_progress():
    restored = TrainingProgress(epoch_totals=torch.zeros(2, device="meta"))
    restored.load_state_dict(progress().state_dict())
    assert restored.epoch_totals.device.type == "meta"
    assert restored.best_weights["weight"].device.type == "cpu"


def state():
    weights = torch.ones(3, 4, 5, 6).contiguous(memory_format=torch.channels_last)
    return {"weights": weights, "step": 7, "history": [{"loss": 0.5}], "ema": None}


def test_snapshot_does_not_change_with_its_source():
    source = state()
    copy = snapshot(source)
    source["weights"] += 1
    source["history"][0]["loss"] = 9
    source["history"].append({})
    assert torch.equal(copy["weights"], state()["weights"])
    assert copy["history"] == [{"loss": 0.5}]
    assert copy["weights"].stride() == source["weights"].stride()


def test_snapshot_of_a_network_can_be_loaded_also_from_a_file(tmp_path):
    """MNASNet requires a version in the state, which is metadata beside the tensors."""
    network = torchvision.models.mnasnet0_5(num_classes=2)
    network.load_state_dict(snapshot(network.state_dict()))
    checkpoint = Checkpoints(tmp_path).for_training({"a": 1})
    checkpoint.save({"network": snapshot(network.state_dict())})
    network.load_state_dict(checkpoint.load()["network"])
