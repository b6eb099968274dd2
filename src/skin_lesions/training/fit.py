"""Start of a training: in this process, in several local processes, or in Ray workers."""

from skin_lesions.core.errors import InputError
from skin_lesions.core.signals import preserve_signal_handlers
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob, TrainingResult
from skin_lesions.training.launchers import LAUNCHERS
from skin_lesions.training.loop import train, training_result


def fit_model(job: TrainingJob) -> TrainingResult:
    """Train with the launcher of the recipe (``recipe.launcher``); otherwise like ``train``.

    Workers call ``train`` as well, and save their state in the checkpoint. The result is loaded
    from there, so this machine needs none of their devices.

    Raises:
        InputError: As ``train``, or the launcher does not work on this machine.
    """
    if job.recipe.launcher == "single":
        return train(job, ProcessGroup())

    job.checkpoint.clear_error()
    with preserve_signal_handlers():
        LAUNCHERS[job.recipe.launcher](job)
    message = job.checkpoint.read_error()
    if message is not None:
        job.checkpoint.clear_error()
        raise InputError(message)
    state = job.checkpoint.load()
    if state is None:
        raise RuntimeError(f"All workers ended without a checkpoint in {job.checkpoint.folder}")
    return training_result(job, state)
