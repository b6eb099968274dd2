"""What happens around every run: parameters checked, one run at a time, a last word on where to look."""

import logging
import os
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from skin_lesions.audit import summary_messages
from skin_lesions.config.checks import check_parameters
from skin_lesions.config.source import Source
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.data.sources import check_folder
from skin_lesions.reporting.formatting import headline

log = logging.getLogger(__name__)


class ProjectHooks:
    """Registered in settings.py; holds the lock of the run that goes on."""

    def __init__(self) -> None:
        self._root = Path()
        self._lock: FileLock | None = None
        self._catalog = DataCatalog()
        self._recipe: TrainRecipe | None = None
        self._source: Source | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check every parameter, whichever pipeline runs: Kedro checks only those it passes on."""
        parameters = context.config_loader["parameters"]
        check_parameters(parameters)
        self._recipe = TrainRecipe.model_validate(parameters["train"])
        self._source = Source.model_validate(parameters["source"])
        configured = context.config_loader["globals"]["data_root"]
        self._root = context.project_path / parameters.get("data_root", configured)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Refuse what will fail later, then take the lock of the data root."""
        nodes = {node.name for node in pipeline.nodes}
        if self._source and "ingest.read_source" in nodes:
            check_folder(self._source)
        if self._recipe and "train.fit" in nodes:
            from skin_lesions.training.preflight import check_training_setup  # noqa: PLC0415 (torch)

            check_training_setup(self._recipe)
        self._root.mkdir(parents=True, exist_ok=True)
        owner = self._root / ".lock.owner"
        lock = FileLock(self._root / ".lock")  # the system lets go of it when its process dies
        try:
            lock.acquire(timeout=0)
        except Timeout:
            told = owner.read_text() if owner.exists() else "another process"
            raise InputError(
                f"{told} is writing to {self._root}; wait for it, or take another place: "
                "--params data_root=/path"
            ) from None
        owner.write_text(f"process {os.getpid()}")
        self._lock = lock

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Remember where checkpoints lie."""
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Discard the checkpoints of a training whose model is saved: not before, should that fail."""
        if dataset_name == "model":
            checkpoints: Any = self._catalog.load("checkpoints")
            checkpoints.discard(data["provenance"]["training"])

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Let go, and say what was found and what to open."""
        self._release()
        if "metrics" in pipeline.all_outputs():
            _log_test_metrics(catalog)
        if "report" in pipeline.all_outputs():
            _log_report_path(catalog)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let go."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _log_test_metrics(catalog: DataCatalog) -> None:
    metrics = catalog.load("metrics")
    if metrics["provenance"]["synthetic_images"]:
        log.info("Generated images: these numbers say nothing about real skin.")
    log.info("Test (%s split): %s", metrics["split_policy"], headline(metrics["test"]))


def _log_report_path(catalog: DataCatalog) -> None:
    findings: dict[str, Any] = catalog.load("audit_findings")
    counts, *grave = summary_messages(findings)
    log.info("Data: %s; %d grave finding%s", counts, len(grave), "s" * (len(grave) != 1))
    dataset: Any = catalog["report"]
    log.info("Open %s", dataset.load_path())
