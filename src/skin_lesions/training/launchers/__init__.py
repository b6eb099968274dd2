"""Launchers: where a training runs. In this process, in several on this machine, or in workers of Ray.

Workers call ``training.train`` as a single process does, and save their state in the checkpoint. This is
how the result comes back: after they end, this process finds a completed training. If a worker is lost,
all workers restart from the last checkpoint.
"""

from collections.abc import Callable

from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.signals import restored
from skin_lesions.training import Trained
from skin_lesions.training.distributed import World
from skin_lesions.training.launchers.job import Job, error_file
from skin_lesions.training.launchers.local import launch_local, local_processes
from skin_lesions.training.launchers.ray import launch_ray, require_ray

__all__ = ["Job", "check_launcher", "launch"]


def launch(job: Job) -> Trained:
    """Train where ``recipe.launcher`` says; else like ``train``.

    Raises:
        InputError: As ``train``; or the launcher does not work here.
    """
    if job.recipe.launcher == "single":
        return job.done_by(World())
    refused = error_file(job)
    refused.unlink(missing_ok=True)
    with restored():
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


LAUNCHERS: dict[str, Callable[[Job], None]] = {"local": launch_local, "ray": launch_ray}
