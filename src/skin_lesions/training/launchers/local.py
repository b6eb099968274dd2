"""Launcher for several processes on this machine, with torchelastic."""

import logging
import os
import pickle
import platform
import signal
import uuid
from contextlib import nullcontext

import torch
from torch import distributed

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import usable_cpus
from skin_lesions.core.signals import ignore_signal
from skin_lesions.models.devices import choose_device
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.launchers.worker import (
    COLLECTIVE_TIMEOUT,
    MAX_RESTARTS,
    configure_worker_logging,
    number_of_processes,
    run_worker,
)

log = logging.getLogger(__name__)


def local_processes(recipe: TrainRecipe) -> int:
    """Return the number of processes to start on this machine.

    Raises:
        InputError: The launcher or the number of processes does not work on this machine.
    """
    if platform.system() == "Windows":
        raise InputError(
            "train.launcher=local does not work on Windows. "
            "Fix: --params train.launcher=single, or run in WSL"
        )
    device = choose_device(recipe.device)
    if device.type == "mps":
        raise InputError(
            "train.launcher=local does not support an Apple GPU, because there is only one. "
            "Fix: --params train.launcher=single"
        )
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    processes = number_of_processes(recipe, gpus)
    if gpus and processes > gpus:
        raise InputError(
            f"train.num_processes={processes} is too large. Expected at most {gpus}, the number of "
            "GPUs of this machine"
        )
    return processes


def launch_local(job: TrainingJob) -> None:
    """Run the job in processes on this machine; torchelastic restarts them if one is lost."""
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=local_processes(job.recipe),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=MAX_RESTARTS,
        monitor_interval=0.5,
        start_method="spawn",
    )
    # The workers log a restart in one line.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        # As bytes: tensors would be in shared memory, and all processes would train the same ones.
        elastic_launch(config, _local_worker)(pickle.dumps(job))
    except SignalException:
        raise KeyboardInterrupt from None


def _local_worker(pickled: bytes) -> None:
    job: TrainingJob = pickle.loads(pickled)  # noqa: S301 (from the launching process)
    if job.checkpoint.read_error() is not None:
        return
    configure_worker_logging()
    rank = int(os.environ["RANK"])
    size = int(os.environ["WORLD_SIZE"])
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if rank == 0 and restarts:
        log.warning(
            "A training process was lost. All processes restarted (%d of %d)",
            restarts,
            MAX_RESTARTS,
        )
    on_cuda = choose_device(job.recipe.device).type == "cuda"
    if on_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        torch.set_num_threads(max(1, usable_cpus() // size))
    with ignore_signal(signal.SIGINT) if rank else nullcontext():  # rank 0 saves the state
        _init_process_group("nccl" if on_cuda else "gloo", rank, size, restarts)
        run_worker(job, ProcessGroup.current())
        distributed.destroy_process_group()  # not after an error: NCCL would block


def _init_process_group(backend: str, rank: int, size: int, restarts: int) -> None:
    """Initialize the process group, with a separate store for each restart.

    The store of the launcher persists across restarts, and torch 2.14 does not separate the keys of
    one restart from those of the previous one. Processes would wait for the addresses of dead ones.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined] # noqa: PLC0415

    host = os.environ["MASTER_ADDR"]
    port = int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, timeout=COLLECTIVE_TIMEOUT)
    distributed.init_process_group(
        backend,
        store=PrefixStore(f"start {restarts}", store),
        rank=rank,
        world_size=size,
        timeout=COLLECTIVE_TIMEOUT,
    )
