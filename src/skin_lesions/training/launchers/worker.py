"""A worker of a launcher, and the functions shared by all launchers."""

import errno
import logging
import sys
from datetime import timedelta

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError, disk_full_message
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.loop import train

MAX_RESTARTS = 10  # of lost workers
COLLECTIVE_TIMEOUT = timedelta(minutes=10)  # a process without an answer for this long is lost


def run_worker(job: TrainingJob, process_group: ProcessGroup) -> None:
    """Train as a worker; save an error that a restart cannot fix beside the checkpoint."""
    if job.checkpoint.read_error() is not None:
        return
    try:
        train(job, process_group)
    except InputError as error:
        job.checkpoint.write_error(str(error))
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            job.checkpoint.write_error(disk_full_message(error))
        raise


def number_of_processes(recipe: TrainRecipe, gpus: int) -> int:
    """Return the number of processes: as requested, or one per GPU, or two on a CPU."""
    processes = recipe.num_processes or gpus or 2
    if recipe.batch_size < 2 * processes:
        raise InputError(
            f"train.batch_size={recipe.batch_size} is too small for {processes} processes. "
            "Expected at least two images per process. "
            f"Fix: --params train.num_processes={recipe.batch_size // 2} or fewer, "
            f"or train.batch_size={2 * processes} or more"
        )
    return processes


def configure_worker_logging() -> None:
    """Configure the log of a worker like that of the launching process."""
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("skin_lesions").setLevel(logging.INFO)
