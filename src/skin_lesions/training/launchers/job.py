"""Training job of the workers, and the functions shared by all launchers."""

import errno
import logging
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from torch import nn

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError, disk_full_message
from skin_lesions.data.loader import ImageDataset
from skin_lesions.training import TrainingResult, result, train
from skin_lesions.training.checkpoints import Checkpoint
from skin_lesions.training.distributed import ProcessGroup

log = logging.getLogger(__name__)
MAX_RESTARTS = 10  # of lost workers
COLLECTIVE_TIMEOUT = timedelta(minutes=10)  # a process without an answer for this long is lost
_ERROR_FILE = "worker_error.txt"  # error of a worker for the launching process


@dataclass(frozen=True)
class TrainingJob:
    """Arguments of ``train``, which are sent to the workers."""

    train_images: ImageDataset
    val_images: ImageDataset
    network: nn.Module
    recipe: TrainRecipe
    checkpoint: Checkpoint

    def train_in(self, process_group: ProcessGroup) -> TrainingResult:
        """Train as a member of the process group."""
        return train(
            self.train_images,
            self.val_images,
            self.network,
            self.recipe,
            self.checkpoint,
            process_group,
        )

    def result(self) -> TrainingResult:
        """Return the result from the checkpoint of the workers; needs none of their devices."""
        state = self.checkpoint.load()
        if state is None:
            raise RuntimeError(
                f"All workers ended without a checkpoint in {self.checkpoint.folder}"
            )
        return result(self.network, self.recipe, state)


def run_worker(job: TrainingJob, process_group: ProcessGroup) -> None:
    """Train as a worker; write an error that a restart cannot fix to the error file."""
    error_path = error_file(job)
    if error_path.exists():
        return
    try:
        job.train_in(process_group)
    except InputError as error:
        _write_error_file(error_path, str(error))
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _write_error_file(error_path, disk_full_message(error))
        raise


def error_file(job: TrainingJob) -> Path:
    """Return the file in which a worker reports an error that a restart cannot fix."""
    return job.checkpoint.folder / _ERROR_FILE


def _write_error_file(error_path: Path, message: str) -> None:
    with atomic_write(error_path) as partial:
        partial.write_text(message)


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
