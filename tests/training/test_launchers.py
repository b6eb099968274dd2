"""Several processes train like one; a lost process costs only time."""

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
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.training.checkpoints import Checkpoints
from skin_lesions.training.concat_network import ConcatNetwork
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.fit import fit_model
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.launchers import LAUNCHERS
from support.disks import small_disk
from support.imagesets import blobs, square_images
from support.recipes import recipe

pytestmark = pytest.mark.distributed

LOCAL = {"launcher": "local", "num_processes": 2}
AUGMENTATION = {
    "flips": True,
    "rotation": "any",
    "min_crop_area": 0.5,
    "mixup_alpha": 0.2,
    "hue": 0.1,
}


def network(*norms: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2), *norms, nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )


@pytest.fixture
def job(tmp_path):
    """Return a factory of jobs with 60 images in batches of 16; the last batch has 12."""
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
        return TrainingJob(
            recipe=recipe(**changes),
            train_images=images,
            val_images=images,
            network=network(*norms),
            checkpoint=checkpoint,
        )

    return make


def weights(result):
    return torch.cat([value.flatten().double() for value in result.network.state_dict().values()])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [8, 9, 31, 32])
def test_shards_partition_a_batch_and_do_not_split_pairs(size, n):
    shards = [ProcessGroup(rank, size).shard(n) for rank in range(size)]
    assert np.concatenate([np.arange(n)[shard] for shard in shards]).tolist() == list(range(n))
    assert all(shard.start % 2 == 0 for shard in shards)
    assert all(shard.stop - shard.start >= 2 for shard in shards)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("requested", [1, 2, 3, 8])
def test_all_processes_accumulate_equally_often_with_two_images_or_more(size, requested):
    """Processes with synchronized batch statistics wait for each other in every step."""
    for n in range(2 * size, 40):
        steps = min(requested, ProcessGroup(0, size).max_accumulation_steps(n))
        for rank in range(size):
            shard = np.arange(n)[ProcessGroup(rank, size).shard(n)]
            assert min(len(part) for part in np.array_split(shard, steps)) >= 2


def test_two_processes_have_the_same_loss_curve_as_one(job):
    changes = {"epochs": 3, "augmentation": AUGMENTATION, "optimizer": {"max_grad_norm": 1.0}}
    handler = signal.getsignal(signal.SIGINT)
    one, two = (
        fit_model(job("one", **changes)),
        fit_model(job("two", **changes, **LOCAL)),
    )
    assert signal.getsignal(signal.SIGINT) == handler, "the handler of Ctrl-C has changed"
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(two.history[column], one.history[column], rtol=1e-5)
    assert one.history["train_loss"].iloc[-1] < one.history["train_loss"].iloc[0]
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


def test_two_processes_have_the_same_loss_curve_as_one_with_frozen_batch_statistics(job):
    changes = {"epochs": 2, "frozen_backbone_epochs": 2, "weights": "/some/file.pth"}
    one = fit_model(job("one", nn.BatchNorm2d(8), **changes))
    two = fit_model(job("two", nn.BatchNorm2d(8), **changes, **LOCAL))
    np.testing.assert_allclose(two.history["train_loss"], one.history["train_loss"], rtol=1e-5)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


def test_two_processes_train_on_metadata_like_one(job):
    """Dropout and mixing of the metadata, and their validation, do not depend on the processes."""
    changes = {"epochs": 3, "augmentation": AUGMENTATION, "metadata_dropout": 0.3}
    metadata = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))

    def joined(training):
        images = replace(training.train_images, metadata=metadata)
        network = ConcatNetwork(training.network, width=3, classes=2)
        return replace(training, train_images=images, val_images=images, network=network)

    one = fit_model(joined(job("one", **changes)))
    two = fit_model(joined(job("two", **changes, **LOCAL)))
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(two.history[column], one.history[column], rtol=1e-5)
    assert one.network.coefficients.any()
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("select", [min, max], ids=["the first", "the last"])
def test_killed_worker_does_not_change_the_weights(job, capfd, select):
    changes = {
        "epochs": 40,
        "augmentation": AUGMENTATION,
        "checkpoint_interval_minutes": 0.0001,
        **LOCAL,
    }
    expected = fit_model(job("undisturbed", **changes))
    interrupted, killed = job("disturbed", **changes), []

    def kill():
        while not (interrupted.checkpoint.folder / "checkpoint.pt").exists():
            time.sleep(0.002)
        killed.append(select(multiprocessing.active_children(), key=lambda child: child.pid))
        killed[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    result = fit_model(interrupted)
    killer.join()
    assert killed
    assert (
        "A training process was lost. All processes restarted (1 of 10)" in capfd.readouterr().out
    )
    assert torch.equal(weights(result), weights(expected))


def test_input_error_of_a_worker_is_raised_as_in_a_single_process(job):
    with pytest.raises(InputError, match="The loss is .* at a learning rate of"):
        fit_model(job("job", optimizer={"learning_rate": 1e30}, **LOCAL))


def test_result_is_loaded_without_the_device_of_the_workers(job, monkeypatch):
    """The head node of a cluster may have no GPU. It must still load the result of GPU workers."""
    complete = job("job")
    expected = fit_model(complete)

    def raise_unavailable(*_):
        raise InputError("this machine has only: cpu")

    monkeypatch.setattr("skin_lesions.training.loop.choose_device", raise_unavailable)
    repeated = replace(complete, network=network(), recipe=recipe(launcher="ray", device="cuda"))
    monkeypatch.setitem(LAUNCHERS, "ray", lambda job: None)
    assert torch.equal(weights(fit_model(repeated)), weights(expected))


def test_batch_size_too_small_for_the_processes_is_rejected(job):
    with pytest.raises(
        InputError, match=r"batch_size=3 is too small .*num_processes=1 or fewer.*4 or more"
    ):
        fit_model(job("job", batch_size=3, **LOCAL))


def test_full_disk_does_not_restart_the_workers(job, tmp_path, capfd):
    """All ten restarts would fail with the same error."""
    with small_disk(tmp_path / "small", "20k") as disk:
        full = replace(job("job", **LOCAL), checkpoint=Checkpoints(disk).for_training({"a": 1}))
        with pytest.raises(InputError, match=r"Disk full .* Free some space"):
            fit_model(full)
    assert "All processes restarted" not in capfd.readouterr().out


def test_error_on_windows_names_a_working_launcher(job, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with pytest.raises(
        InputError, match=r"not work on Windows\. Fix: --params train\.launcher=single"
    ):
        fit_model(job("job", **LOCAL))


@pytest.fixture
def ray_installed(monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")


@pytest.mark.usefixtures("ray_installed")
def test_ray_workers_have_the_same_loss_curve_as_one_process(job):
    changes = {"epochs": 2, "augmentation": AUGMENTATION}
    one = fit_model(job("one", **changes))
    two = fit_model(job("two", **changes, launcher="ray", num_processes=2))
    np.testing.assert_allclose(two.history["train_loss"], one.history["train_loss"], rtol=1e-5)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("ray_installed")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_killed_ray_worker_does_not_change_the_weights(job):
    ray_options = {"launcher": "ray", "num_processes": 2, "checkpoint_interval_minutes": 0.0001}
    changes = {"epochs": 40, "augmentation": AUGMENTATION} | ray_options
    expected = fit_model(job("undisturbed", **changes))
    interrupted, restarted = job("disturbed", **changes), set()

    def kill():
        while not (interrupted.checkpoint.folder / "checkpoint.pt").exists():
            time.sleep(0.002)
        initial = ray_workers()
        os.kill(max(initial), signal.SIGKILL)
        deadline = time.monotonic() + 120
        while not restarted and time.monotonic() < deadline:
            restarted.update(ray_workers() - initial)
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    result = fit_model(interrupted)
    killer.join()
    assert restarted, "the worker was killed after its last step"
    assert torch.equal(weights(result), weights(expected))


def ray_workers() -> set[int]:
    """Return the ids of the training processes, which Ray names in their command line."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has ended
            if b"RayTrainWorker" in file.read_bytes():
                found.add(int(file.parent.name))
    return found


def test_error_without_ray_names_the_install_command(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install .*\[ray\]"):
        fit_model(job("job", launcher="ray"))
