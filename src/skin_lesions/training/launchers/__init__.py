"""Launchers: run a training in this process, in several local processes, or in Ray workers.

Workers call ``training.train`` as a single process does, and save their state in the checkpoint.
After they end, the launching process loads the result from the checkpoint. If a worker is lost, all
workers restart from the last checkpoint.
"""

from collections.abc import Callable

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.signals import preserve_signal_handlers
from skin_lesions.training import TrainingResult
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.launchers.job import TrainingJob, error_file
from skin_lesions.training.launchers.local import launch_local, local_processes
from skin_lesions.training.launchers.ray import launch_ray, require_ray

__all__ = ["TrainingJob", "check_launcher", "launch_training"]


def launch_training(job: TrainingJob) -> TrainingResult:
    """Train with the launcher of the recipe (``recipe.launcher``); otherwise like ``train``.

    Raises:
        InputError: As ``train``, or the launcher does not work on this machine.
    """
    if job.recipe.launcher == "single":
        return job.train_in(ProcessGroup())
    error_path = error_file(job)
    error_path.unlink(missing_ok=True)
    with preserve_signal_handlers():
        LAUNCHERS[job.recipe.launcher](job)
    if error_path.exists():
        message = error_path.read_text()
        error_path.unlink()
        raise InputError(message)
    return job.result()


def check_launcher(recipe: TrainRecipe) -> None:
    """Check that the launcher of the recipe works on this machine.

    Raises:
        InputError: It does not; the message names an alternative.
    """
    if recipe.launcher == "ray":
        require_ray()
    elif recipe.launcher == "local":
        local_processes(recipe)


LAUNCHERS: dict[str, Callable[[TrainingJob], None]] = {"local": launch_local, "ray": launch_ray}
