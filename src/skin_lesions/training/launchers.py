"""Where a training runs: in this process, in several on this machine, or in workers of Ray.

The workers train as ``training.train`` does in one process, and keep their state in the checkpoint. That is
how the result comes back: once they are through, this process finds a training that is over. A worker that
is lost costs what was done since the last checkpoint: all start again from there.
"""

import errno
import logging
import os
import pickle
import platform
import signal
import sys
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from skin_lesions.config.parameters import TrainRecipe
from skin_lesions.core.atomic_files import written_beside
from skin_lesions.core.errors import InputError, full_disk
from skin_lesions.core.parallel import cores
from skin_lesions.core.signals import ignored, restored
from skin_lesions.data.loader import LabelledImages
from skin_lesions.models.devices import choose_device
from skin_lesions.training import Trained, result, train
from skin_lesions.training.checkpoints import Checkpoint
from skin_lesions.training.distributed import World

log = logging.getLogger(__name__)

_RESTARTS = 10  # of lost workers
_SILENCE = timedelta(minutes=10)  # after which a process that doesn't answer is lost
_REFUSED = "refused.txt"  # the error that a worker leaves for this process


@dataclass(frozen=True)
class Job:
    """What ``train`` takes; goes to the workers."""

    train_images: LabelledImages
    val_images: LabelledImages
    network: nn.Module
    recipe: TrainRecipe
    checkpoint: Checkpoint

    def done_by(self, world: World) -> Trained:
        """Train, as one of these processes."""
        return train(
            self.train_images, self.val_images, self.network, self.recipe, self.checkpoint, world
        )

    def result(self) -> Trained:
        """Return what the workers left; this process needs no device of theirs for that."""
        state = self.checkpoint.load()
        if state is None:
            raise RuntimeError(
                f"the workers are through and left nothing in {self.checkpoint.folder}"
            )
        return result(self.network, self.recipe, state)


def launch(job: Job) -> Trained:
    """Train where ``recipe.launcher`` says; else like ``train``.

    Raises:
        InputError: As ``train``; or the launcher does not work here.
    """
    if job.recipe.launcher == "single":
        return job.done_by(World())
    refused = _refused(job)
    refused.unlink(missing_ok=True)
    with restored():
        LAUNCHERS[job.recipe.launcher](job)
    if refused.exists():
        text = refused.read_text()
        refused.unlink()
        raise InputError(text)
    return job.result()


def _work(job: Job, world: World) -> None:
    """Be one of the workers; leave word of an error that starting again won't mend."""
    refused = _refused(job)
    if refused.exists():
        return
    try:
        job.done_by(world)
    except InputError as error:
        _leave_word(refused, str(error))
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _leave_word(refused, full_disk(error))
        raise


def _refused(job: Job) -> Path:
    return job.checkpoint.folder / _REFUSED


def _leave_word(refused: Path, text: str) -> None:
    with written_beside(refused) as partial:
        partial.write_text(text)


def _processes(recipe: TrainRecipe, gpus: int) -> int:
    """Return how many to start: as asked, or one for each GPU, or two on CPUs."""
    processes = recipe.processes or gpus or 2
    if recipe.batch_size < 2 * processes:
        raise InputError(
            f"train.batch_size={recipe.batch_size} is too small for {processes} processes: each needs "
            f"two images of a batch; take --params train.processes={recipe.batch_size // 2} or fewer, or "
            f"a train.batch_size of {2 * processes} or more"
        )
    return processes


def refuse_launcher(recipe: TrainRecipe) -> None:
    """Refuse a launcher that does not work here.

    Raises:
        InputError: Says what to take instead.
    """
    if recipe.launcher == "ray":
        _ray()
    elif recipe.launcher == "local":
        _local_processes(recipe)


def _local_processes(recipe: TrainRecipe) -> int:
    """Return how many processes to start on this machine."""
    if platform.system() == "Windows":
        raise InputError(
            "train.launcher=local does not work on Windows: take train.launcher=single, or run it "
            "within WSL"
        )
    device = choose_device(recipe.device)
    if device.type == "mps":
        raise InputError("train.launcher=local has no use for one GPU of Apple; take single")
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    processes = _processes(recipe, gpus)
    if gpus and processes > gpus:
        raise InputError(f"train.processes={processes}, but this machine has {gpus} GPUs")
    return processes


def _launch_local(job: Job) -> None:
    """Start processes on this machine by torch's elastic launcher, and those that are lost again."""
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=_local_processes(job.recipe),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=_RESTARTS,
        monitor_interval=0.5,
        start_method="spawn",
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we tell it shorter
    try:
        # As bytes: tensors would be shared between the processes, and all train the same ones.
        elastic_launch(config, _local_worker)(pickle.dumps(job))
    except SignalException:
        raise KeyboardInterrupt from None


def _local_worker(pickled: bytes) -> None:
    job: Job = pickle.loads(pickled)
    if _refused(job).exists():
        return
    _log_as_the_main_process()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if rank == 0 and restarts:
        log.warning("A training process was lost; all start again (%d of %d)", restarts, _RESTARTS)
    on_cuda = choose_device(job.recipe.device).type == "cuda"
    if on_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        torch.set_num_threads(max(1, cores() // size))
    backend = "nccl" if on_cuda else "gloo"
    store = _store(f"start {restarts}")
    with ignored(signal.SIGINT) if rank else nullcontext():  # the first one keeps the state
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_SILENCE
        )
        _work(job, World.joined())
        distributed.destroy_process_group()  # not after an error: NCCL would wait for the others


def _store(name: str) -> Any:
    """Return where the processes of one start find each other.

    The launcher's store outlives a start, and torch 2.14 keeps no start's keys apart from those of the one
    before: processes would wait for the addresses of dead ones.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined] # noqa: PLC0415

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return PrefixStore(name, TCPStore(host, port, timeout=_SILENCE))


def _launch_ray(job: Job) -> None:
    """Start workers by Ray Train, on this machine or on the cluster at ``recipe.ray.address``."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # the one that this is tested with
    ray = _ray()
    address = job.recipe.ray.address
    where: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ray.init(**where, runtime_env=None if address else {"env_vars": paths}, log_to_driver=True)
    try:
        _fit_by_ray(job, int(ray.cluster_resources().get("GPU", 0)))
    finally:
        ray.shutdown()


def _fit_by_ray(job: Job, gpus: int) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    gpus = gpus if job.recipe.device in ("auto", "cuda") else 0
    trainer = TorchTrainer(
        _ray_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=_processes(job.recipe, gpus), use_gpu=gpus > 0),
        run_config=RunConfig(
            name="ray",
            storage_path=str(job.checkpoint.folder.resolve()),
            failure_config=FailureConfig(max_failures=_RESTARTS),
        ),
    )
    try:
        trainer.fit()
    except Exception:  # Ray wraps what a worker raised; ours stands in the file
        if not _refused(job).exists():
            raise


def _ray_worker(config: dict[str, Any]) -> None:
    _log_as_the_main_process()
    _work(config["job"], World.joined())


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(
            "train.launcher=ray needs Ray, which is not installed; install it with: "
            "pip install -c requirements.lock -e '.[ray]'"
        ) from None
    return ray


def _log_as_the_main_process() -> None:
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("skin_lesions").setLevel(logging.INFO)


LAUNCHERS: dict[str, Callable[[Job], None]] = {"local": _launch_local, "ray": _launch_ray}
