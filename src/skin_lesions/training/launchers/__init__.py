"""Launchers: where a training runs. In this process, in several on this machine, or in workers of Ray.

Workers call ``training.train`` as a single process does, and save their state in the checkpoint. This is
how the result comes back: after they end, this process finds a completed training. If a worker is lost,
all workers restart from the last checkpoint.
"""

from collections.abc import Callable

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.signals import preserve_signal_handlers
from skin_lesions.training import Trained
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.launchers.job import TrainingJob, error_file
from skin_lesions.training.launchers.local import launch_local, local_processes
from skin_lesions.training.launchers.ray import launch_ray, require_ray

__all__ = ["TrainingJob", "check_launcher", "launch_training"]


def launch_training(job: TrainingJob) -> Trained:
    """Train where ``recipe.launcher`` says; else like ``train``.

    Raises:
        InputError: As ``train``; or the launcher does not work here.
    """
    if job.recipe.launcher == "single":
        return job.train_in(ProcessGroup())
    refused = error_file(job)
    refused.unlink(missing_ok=True)
    with preserve_signal_handlers():
        LAUNCHERS[job.recipe.launcher](job)
    if refused.exists():
        text = refused.read_text()
        refused.unlink()
        raise InputError(text)
    return job.result()


def check_launcher(recipe: TrainRecipe) -> None:
    """Refuse a launcher that does not work here.

    Raises:
        InputError: Says what to take instead.
    """
    if recipe.launcher == "ray":
        require_ray()
    elif recipe.launcher == "local":
        local_processes(recipe)


LAUNCHERS: dict[str, Callable[[TrainingJob], None]] = {"local": launch_local, "ray": launch_ray}
