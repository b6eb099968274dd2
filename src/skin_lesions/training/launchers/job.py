"""What the workers get, and what they all do."""

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
from skin_lesions.training import Trained, result, train
from skin_lesions.training.checkpoints import Checkpoint
from skin_lesions.training.distributed import ProcessGroup

log = logging.getLogger(__name__)
MAX_RESTARTS = 10  # of lost workers
COLLECTIVE_TIMEOUT = timedelta(minutes=10)  # after which a process that doesn't answer is lost
_ERROR_FILE = "worker_error.txt"  # the error that a worker leaves for this process


@dataclass(frozen=True)
class TrainingJob:
    """What ``train`` takes; goes to the workers."""

    train_images: ImageDataset
    val_images: ImageDataset
    network: nn.Module
    recipe: TrainRecipe
    checkpoint: Checkpoint

    def train_in(self, process_group: ProcessGroup) -> Trained:
        """Train, as one of these processes."""
        return train(
            self.train_images,
            self.val_images,
            self.network,
            self.recipe,
            self.checkpoint,
            process_group,
        )

    def result(self) -> Trained:
        """Return what the workers left; this process needs no device of theirs for that."""
        state = self.checkpoint.load()
        if state is None:
            raise RuntimeError(
                f"the workers are through and left nothing in {self.checkpoint.folder}"
            )
        return result(self.network, self.recipe, state)


def run_worker(job: TrainingJob, process_group: ProcessGroup) -> None:
    """Be one of the workers; leave word of an error that starting again won't mend."""
    refused = error_file(job)
    if refused.exists():
        return
    try:
        job.train_in(process_group)
    except InputError as error:
        _write_error_file(refused, str(error))
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _write_error_file(refused, disk_full_message(error))
        raise


def error_file(job: TrainingJob) -> Path:
    """Return the file in which a worker reports an error that a restart cannot fix."""
    return job.checkpoint.folder / _ERROR_FILE


def _write_error_file(refused: Path, text: str) -> None:
    with atomic_write(refused) as partial:
        partial.write_text(text)


def number_of_processes(recipe: TrainRecipe, gpus: int) -> int:
    """Return how many to start: as asked, or one for each GPU, or two on CPUs."""
    processes = recipe.num_processes or gpus or 2
    if recipe.batch_size < 2 * processes:
        raise InputError(
            f"train.batch_size={recipe.batch_size} is too small for {processes} processes: each needs "
            f"two images of a batch; take --params train.num_processes={recipe.batch_size // 2} or fewer, or "
            f"a train.batch_size of {2 * processes} or more"
        )
    return processes


def configure_worker_logging() -> None:
    """Log in a worker as the main process does."""
    logging.basicConfig(
        stream=sys.stdout, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("skin_lesions").setLevel(logging.INFO)
