"""Launchers: run a training in several local processes, or in Ray workers.

If a worker is lost, all workers restart from the last checkpoint.
"""

from collections.abc import Callable

from skin_lesions.config.train import TrainRecipe
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.launchers.local import launch_local, local_processes
from skin_lesions.training.launchers.ray import launch_ray, require_ray

__all__ = ["LAUNCHERS", "check_launcher"]

# Each runs ``train`` in all its workers and returns when they have ended.
LAUNCHERS: dict[str, Callable[[TrainingJob], None]] = {"local": launch_local, "ray": launch_ray}


def check_launcher(recipe: TrainRecipe) -> None:
    """Check that the launcher of the recipe works on this machine.

    Raises:
        InputError: It does not; the message names an alternative.
    """
    if recipe.launcher == "ray":
        require_ray()
    elif recipe.launcher == "local":
        local_processes(recipe)
