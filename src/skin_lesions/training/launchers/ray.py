"""Launcher for workers of Ray Train."""

import os
import sys
from types import ModuleType

from skin_lesions.core.errors import InputError
from skin_lesions.training.distributed import ProcessGroup
from skin_lesions.training.job import TrainingJob
from skin_lesions.training.launchers.worker import (
    MAX_RESTARTS,
    configure_worker_logging,
    number_of_processes,
    run_worker,
)


def launch_ray(job: TrainingJob) -> None:
    """Run the job with Ray Train, on this machine or on the cluster at ``recipe.ray.address``."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # the tested version
    ray = require_ray()
    address = job.recipe.ray.address
    if address:
        ray.init(address=address, log_to_driver=True)
    else:
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {"env_vars": {"PYTHONPATH": paths}}
        ray.init(include_dashboard=False, runtime_env=environment, log_to_driver=True)
    try:
        _fit_with_ray(job, int(ray.cluster_resources().get("GPU", 0)))
    finally:
        ray.shutdown()


def _fit_with_ray(job: TrainingJob, gpus: int) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    gpus = gpus if job.recipe.device in ("auto", "cuda") else 0
    trainer = TorchTrainer(
        _ray_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=number_of_processes(job.recipe, gpus), use_gpu=gpus > 0
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(job.checkpoint.ray_storage),
            failure_config=FailureConfig(max_failures=MAX_RESTARTS),
        ),
    )
    try:
        trainer.fit()
    except (
        Exception
    ):  # Ray wraps the error of a worker; the original is saved beside the checkpoint
        if job.checkpoint.read_error() is None:
            raise


def _ray_worker(config: dict[str, TrainingJob]) -> None:
    configure_worker_logging()
    run_worker(config["job"], ProcessGroup.current())


def require_ray() -> ModuleType:
    """Import Ray.

    Raises:
        InputError: Ray is not installed; the message names the command to install it.
    """
    try:
        import ray  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(
            "train.launcher=ray requires Ray, which is not installed. "
            "Fix: pip install -c requirements.lock -e '.[ray]'"
        ) from None
    return ray
