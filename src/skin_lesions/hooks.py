"""Kedro hooks: checks before a run, the lock of the data root, and log messages after a run."""

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
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.checks import check_parameters
from skin_lesions.config.source import Source
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.data.sources import check_folder
from skin_lesions.reporting.formatting import headline

log = logging.getLogger(__name__)


class ProjectHooks:
    """Checks parameters, locks the data root, deletes finished checkpoints and logs the results.

    Registered in settings.py. Holds the lock of the current run.
    """

    def __init__(self) -> None:
        self._root = Path()
        self._lock: FileLock | None = None
        self._catalog = DataCatalog()
        self._recipe: TrainRecipe | None = None
        self._source: Source | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters for every pipeline: Kedro checks only those that a node receives."""
        parameters = context.config_loader["parameters"]
        check_parameters(parameters)
        self._recipe = TrainRecipe.model_validate(parameters["train"])
        self._source = Source.model_validate(parameters["source"])
        configured = context.config_loader["globals"]["data_root"]
        self._root = context.project_path / parameters.get("data_root", configured)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Check what would make a later node fail, then lock the data root."""
        nodes = {node.name for node in pipeline.nodes}
        if self._source and "ingest.read_source" in nodes:
            check_folder(self._source)
        if self._recipe and "train.fit" in nodes:
            from skin_lesions.training.preflight import (  # noqa: PLC0415 (torch)
                check_training_setup,
            )

            check_training_setup(self._recipe)
        self._root.mkdir(parents=True, exist_ok=True)
        owner_file = self._root / ".lock.owner"
        lock = FileLock(self._root / ".lock")  # the system releases it when the process ends
        try:
            lock.acquire(timeout=0)
        except Timeout:
            owner = owner_file.read_text() if owner_file.exists() else "another process"
            raise InputError(
                f"The data root {self._root} is locked: {owner} is writing to it. "
                "Wait until it ends, or choose another location: --params data_root=/path"
            ) from None
        owner_file.write_text(f"process {os.getpid()}")
        self._lock = lock

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Store the catalog, to find the checkpoints later."""
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Delete the checkpoints of a training once its model is saved.

        They are not deleted earlier, because saving the model can fail.
        """
        if dataset_name == "model":
            checkpoints: Any = self._catalog.load("checkpoints")
            checkpoints.discard(data["provenance"]["training"])

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Release the lock, then log the test metrics, the findings and the path of the report."""
        self._release()
        if "metrics" in pipeline.all_outputs():
            _log_test_metrics(catalog)
        if "report" in pipeline.all_outputs():
            _log_report_path(catalog)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the lock."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _log_test_metrics(catalog: DataCatalog) -> None:
    metrics = catalog.load("metrics")
    if metrics["provenance"]["synthetic_images"]:
        log.info("Synthetic images: these numbers say nothing about real skin.")
    log.info("Test (%s split): %s", metrics["split_policy"], headline(metrics["test"]))


def _log_report_path(catalog: DataCatalog) -> None:
    findings = AuditFindings.model_validate(catalog.load("audit_findings"))
    counts, *severe = summary_messages(findings)
    log.info("Data: %s; %d severe finding%s", counts, len(severe), "s" * (len(severe) != 1))
    dataset: Any = catalog["report"]
    log.info("Report: %s", dataset.load_path())
