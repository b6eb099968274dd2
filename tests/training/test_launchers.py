"""Several processes train as one does; one that is lost costs time alone."""

import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.preprocessing import Preprocessing
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.launchers import LAUNCHERS, TrainingJob, launch_training
from support.disks import small_disk
from support.imagesets import blobs, square_images
from support.recipes import recipe

LOCAL = {"launcher": "local", "num_processes": 2}
CHANGING = {"flips": True, "rotation": "any", "min_crop_area": 0.5, "mixup_alpha": 0.2, "hue": 0.1}


def network(*norms: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), *norms, nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )


@pytest.fixture
def job(tmp_path):
    """Make a job of 60 images, in batches of 16: the last has 12."""
    pixels, table = blobs(60)
    square_images(tmp_path / "pixels", pixels)
    images = build_dataset(
        table,
        ["green", "red"],
        PixelArray(tmp_path / "pixels", 32),
        Preprocessing("stretch", 32, 32),
    )

    def make(name, *norms, **changes):
        changes = {"batch_size": 16, "precision": "float32", "ema_decay": 0.9} | changes
        checkpoint = Checkpoints(tmp_path / name).for_training({"a": 1})
        return TrainingJob(images, images, network(*norms), recipe(**changes), checkpoint)

    return make


def weights(result):
    return torch.cat([value.flatten().double() for value in result[0].state_dict().values()])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [8, 9, 31, 32])
def test_parts_of_a_batch_are_all_of_it_once_and_keep_pairs_together(size, n):
    parts = [ProcessGroup(rank, size).shard(n) for rank in range(size)]
    assert np.concatenate([np.arange(n)[part] for part in parts]).tolist() == list(range(n))
    assert all(part.start % 2 == 0 for part in parts)
    assert all(part.stop - part.start >= 2 for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("asked", [1, 2, 3, 8])
def test_every_process_computes_in_as_many_parts_and_each_has_two_images(size, asked):
    """Processes that share batch statistics wait for each other in every part."""
    for n in range(2 * size, 40):
        parts = min(asked, ProcessGroup(0, size).max_accumulation_steps(n))
        for rank in range(size):
            ours = np.arange(n)[ProcessGroup(rank, size).shard(n)]
            assert min(len(part) for part in np.array_split(ours, parts)) >= 2


def test_two_processes_have_the_loss_curve_of_one(job):
    changes = {"epochs": 3, "augmentation": CHANGING, "optimizer": {"max_grad_norm": 1.0}}
    handler = signal.getsignal(signal.SIGINT)
    one, two = (
        launch_training(job("one", **changes)),
        launch_training(job("two", **changes, **LOCAL)),
    )
    assert signal.getsignal(signal.SIGINT) == handler, "Ctrl-C does something else now"
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(two[1][column], one[1][column], rtol=1e-5)
    assert one[1]["train_loss"].iloc[-1] < one[1]["train_loss"].iloc[0]
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


def test_two_processes_have_the_loss_curve_of_one_with_frozen_batch_statistics(job):
    changes = {"epochs": 2, "frozen_backbone_epochs": 2, "weights": "/some/file.pth"}
    one = launch_training(job("one", nn.BatchNorm2d(8), **changes))
    two = launch_training(job("two", nn.BatchNorm2d(8), **changes, **LOCAL))
    np.testing.assert_allclose(two[1]["train_loss"], one[1]["train_loss"], rtol=1e-5)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", [min, max], ids=["the first", "the last"])
def test_a_killed_worker_changes_no_digit(job, capfd, which):
    changes = {
        "epochs": 40,
        "augmentation": CHANGING,
        "checkpoint_interval_minutes": 0.0001,
        **LOCAL,
    }
    undisturbed = launch_training(job("undisturbed", **changes))
    disturbed, killed = job("disturbed", **changes), []

    def kill():
        while not (disturbed.checkpoint.folder / "checkpoint.pt").exists():
            time.sleep(0.002)
        killed.append(which(multiprocessing.active_children(), key=lambda child: child.pid))
        killed[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    result = launch_training(disturbed)
    killer.join()
    assert killed
    assert "A training process was lost; all start again (1 of 10)" in capfd.readouterr().out
    assert torch.equal(weights(result), weights(undisturbed))


def test_what_a_worker_refuses_is_told_as_from_one_process(job):
    with pytest.raises(InputError, match="the loss is .* at a learning rate of"):
        launch_training(job("job", optimizer={"learning_rate": 1e30}, **LOCAL))


def test_the_result_is_taken_without_the_device_of_the_workers(job, monkeypatch):
    """A head of a cluster without a GPU can hand out work for GPUs, and must not refuse the result."""
    done = job("job")
    expected = launch_training(done)

    def none_here(*_):
        raise InputError("this machine has only: cpu")

    monkeypatch.setattr("skin_lesions.training.state.choose_device", none_here)
    again = replace(done, network=network(), recipe=recipe(launcher="ray", device="cuda"))
    monkeypatch.setitem(LAUNCHERS, "ray", lambda job: None)
    assert torch.equal(weights(launch_training(again)), weights(expected))


def test_a_batch_that_is_too_small_to_be_divided_is_refused(job):
    with pytest.raises(
        InputError, match=r"batch_size=3 is too small .*num_processes=1 or fewer.*4 or more"
    ):
        launch_training(job("job", batch_size=3, **LOCAL))


def test_a_full_disk_is_no_lost_worker(job, tmp_path, capfd):
    """Starting again would end there again, ten times."""
    with small_disk(tmp_path / "small", "20k") as disk:
        full = replace(job("job", **LOCAL), checkpoint=Checkpoints(disk).for_training({"a": 1}))
        with pytest.raises(InputError, match=r"the disk is full .* make room"):
            launch_training(full)
    assert "all start again" not in capfd.readouterr().out


def test_on_windows_the_error_names_what_works(job, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(InputError, match=r"not work on Windows: take train\.launcher=single"):
        launch_training(job("job", **LOCAL))


@pytest.fixture
def ray_here(monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")


@pytest.mark.usefixtures("ray_here")
def test_workers_of_ray_have_the_loss_curve_of_one_process(job):
    changes = {"epochs": 2, "augmentation": CHANGING}
    one = launch_training(job("one", **changes))
    two = launch_training(job("two", **changes, launcher="ray", num_processes=2))
    np.testing.assert_allclose(two[1]["train_loss"], one[1]["train_loss"], rtol=1e-5)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("ray_here")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="its workers are found in /proc")
def test_a_killed_worker_of_ray_changes_no_digit(job):
    many = {"launcher": "ray", "num_processes": 2, "checkpoint_interval_minutes": 0.0001}
    changes = {"epochs": 40, "augmentation": CHANGING} | many
    undisturbed = launch_training(job("undisturbed", **changes))
    disturbed, started_again = job("disturbed", **changes), set()

    def kill():
        while not (disturbed.checkpoint.folder / "checkpoint.pt").exists():
            time.sleep(0.002)
        first = ray_workers()
        os.kill(max(first), signal.SIGKILL)
        until = time.monotonic() + 120
        while not started_again and time.monotonic() < until:
            started_again.update(ray_workers() - first)
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    result = launch_training(disturbed)
    killer.join()
    assert started_again, "it was killed after its last step"
    assert torch.equal(weights(result), weights(undisturbed))


def ray_workers() -> set[int]:
    """Return the processes that train, by what Ray calls them."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended since
            if b"RayTrainWorker" in file.read_bytes():
                found.add(int(file.parent.name))
    return found


def test_without_ray_the_error_says_how_to_install_it(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install .*\[ray\]"):
        launch_training(job("job", launcher="ray"))
