"""Kedro hooks: checks before a run, the lock of the data root, and log messages after a run."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from skin_lesions.audit import summary_messages
from skin_lesions.audit.findings import AuditFindings
from skin_lesions.config.base import flatten
from skin_lesions.config.checks import check_data_root, check_parameters
from skin_lesions.config.clean import Clean
from skin_lesions.config.external import External
from skin_lesions.config.predict import Predict
from skin_lesions.config.source import Source
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import abbreviate_home
from skin_lesions.core.run_lock import RunLock
from skin_lesions.core.text import printable
from skin_lesions.data.cleaned_folder import check_output_folder
from skin_lesions.data.sources import check_folder
from skin_lesions.data.sources.external import check_external
from skin_lesions.evaluation.comparison import Comparison
from skin_lesions.evaluation.external import ExternalResults
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.test_ledger import TestLedger
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.pipelines import clean, compare, external, ingest, predict, train
from skin_lesions.reporting.comparison_summary import summary_sentences
from skin_lesions.reporting.external_summary import summary_sentences as external_sentences
from skin_lesions.reporting.formatting import NBSP, headline
from skin_lesions.stored_inputs import StoredInputs

if TYPE_CHECKING:  # they import torch, and Kedro loads the hooks even to list the pipelines
    from skin_lesions.datasets import AtomicVersionedDataset
    from skin_lesions.training.checkpoints import Checkpoints

log = logging.getLogger(__name__)

# Nodes that read the stored predictions of earlier runs, by their pipeline.
_READERS_OF_PREDICTIONS = {"compare": compare.COMPARE, "external": external.EVALUATE}


def _data_root(context: KedroContext) -> Path:
    return Path(check_data_root(context.config_loader["parameters"]["data_root"]))


class RunnerCheck:
    """Rejects runners that start a process for each node."""

    @hook_impl(tryfirst=True)  # before the lock: a failed check leaves no lock
    def before_pipeline_run(self, run_params: Mapping[str, object]) -> None:
        """Check the runner."""
        if "ParallelRunner" in str(run_params["runner"]):
            raise InputError(
                "ParallelRunner is not supported: each node already uses all cores, and a trained "
                "network is passed in memory. Fix: remove --runner, or use --runner ThreadRunner"
            )


class InputChecks:
    """Checks before a run what would make a later node fail."""

    def __init__(self) -> None:
        self._root = Path()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters for every pipeline: Kedro checks only those that a node receives."""
        self._root = _data_root(context)
        check_parameters(context.config_loader["parameters"])

    @hook_impl(tryfirst=True)  # before the lock: a failed check leaves no lock
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check the source folder, stored inputs and the setup of the training, if needed."""
        parameters = catalog.load("parameters")
        source = Source.model_validate(parameters["source"])
        nodes = {node.name for node in pipeline.nodes}
        if ingest.READ_SOURCE in nodes:
            check_folder(source, self._root)
        if external.READ_SOURCE in nodes:
            check_external(External.model_validate(parameters["external"]), self._root)
        given = flatten(run_params["runtime_params"].get("source") or {})
        replaced = set()
        if predict.PREDICT in nodes:
            request = Predict.model_validate(parameters["predict"])
            request.required_input()
            replaced = _use_given_model(request, pipeline, catalog)
        stored = StoredInputs(catalog, self._root, source, set(given), replaced)
        stored.check_versions(pipeline, run_params["run_id"])
        stored.check(pipeline, only_missing_outputs=run_params["only_missing_outputs"])
        if clean.COPY in nodes:
            self._check_output(Clean.model_validate(parameters["clean"]), source, catalog)
        for name, node in _READERS_OF_PREDICTIONS.items():
            if node in nodes and "predictions" in pipeline.all_outputs():
                raise InputError(
                    f"The pipeline {name} reads stored predictions, but this run creates new ones. "
                    f"Fix: run evaluate first, then kedro run --pipelines {name}"
                )
        if "test_ledger" in pipeline.all_outputs() and catalog.exists("test_ledger"):
            catalog.load("test_ledger")  # a damaged ledger could not record the evaluation
        if train.FIT in nodes:
            from skin_lesions.training.preflight import (  # noqa: PLC0415 (torch)
                check_training_setup,
            )

            check_training_setup(TrainRecipe.model_validate(parameters["train"]))

    def _check_output(self, clean: Clean, source: Source, catalog: DataCatalog) -> None:
        """Check the folder of a cleaned copy."""
        if clean.output is None:
            return
        # Later runs need not set source.folder; the hash of its path is stored.
        is_stored = catalog.exists("image_table")
        stored = catalog.load("image_table").provenance.origin.folder_hash if is_stored else None
        check_output_folder(
            Path(clean.output),
            data_root=self._root,
            source_folder=Path(source.folder) if source.folder else None,
            source_hash=stored,
        )


def _use_given_model(parameters: Predict, pipeline: Pipeline, catalog: DataCatalog) -> set[str]:
    """Replace the catalog model by that of ``predict.model``; return the names that are replaced.

    Raises:
        InputError: The run also uses the catalog model.
    """
    if parameters.model is None:
        return set()
    others = [
        node.name
        for node in pipeline.nodes
        if node.name != predict.PREDICT and "model" in {*node.inputs, *node.outputs}
    ]
    pinned = getattr(catalog.get("model"), "_version", None)
    if others or (pinned is not None and pinned.load):
        used_by = f"{others[0]} uses" if others else "--load-versions selects"
        raise InputError(
            f"predict.model is set, but {used_by} the catalog model. Expected one model. "
            "Fix: leave out predict.model, or run only the pipeline predict"
        )
    from skin_lesions.datasets import PredictorDataset  # noqa: PLC0415 (torch)

    catalog["model"] = PredictorDataset(
        filepath=parameters.model,
        device=parameters.device,
        localizer=None if parameters.localizer == "auto" else parameters.localizer,
    )
    return {"model"}


class DataRootLock:
    """Holds the lock of the data root during a run."""

    def __init__(self) -> None:
        self._root = Path()
        self._lock: RunLock | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Store the data root."""
        self._root = _data_root(context)

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Lock the data root."""
        lock = RunLock(self._root)
        lock.acquire()
        self._lock = lock

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Release the lock."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Release the lock."""
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class CheckpointCleanup:
    """Deletes the checkpoints of a training once its model is saved.

    They are not deleted earlier, because saving the model can fail.
    """

    def __init__(self) -> None:
        self._catalog = DataCatalog()

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Store the catalog, to find the checkpoints later."""
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, data: object) -> None:
        """Delete the checkpoints of a saved model."""
        if isinstance(data, TrainedModel):
            checkpoints: Checkpoints = self._catalog.load("checkpoints")
            checkpoints.discard(data.provenance.training)


# Results that users open themselves: their paths are logged after a run.
_SHOWN_FILES = {
    "comparison_page": "Comparison",
    "model_bundle": "Model bundle",
    "new_predictions": "Predictions",
    "cleaning_list": "Cleaning list",
    "external_metrics": "External results",
    "report": "Report",
}


class RunSummary:
    """Logs the most important results of a run and the paths of files that users open."""

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the results that this run has computed."""
        outputs = pipeline.all_outputs()
        for output, name, log_summary in _SUMMARIES:
            if output in outputs:
                log_summary(catalog.load(name))
        for name, title in _SHOWN_FILES.items():
            if name in outputs:
                dataset = cast("AtomicVersionedDataset", catalog[name])
                log.info("%s: %s", title, abbreviate_home(dataset.load_path()))


def _log_metrics(metrics: Scorecard) -> None:
    if metrics.provenance.synthetic_images:
        log.info("Synthetic images: these numbers say nothing about real skin.")
    if metrics.provenance.leaked_test_images:
        log.warning(
            "The initial weights were trained on %d of %d test images: these results are too high",
            metrics.provenance.leaked_test_images,
            metrics.test.n,
        )
    log.info("Test (%s split): %s", metrics.split_policy, headline(metrics.test))


def _log_ledger(evaluated: TestLedger) -> None:
    log.info(evaluated.summary(evaluated.rows[-1].model_version))


def _log_comparison(comparison: Comparison) -> None:
    for sentence in summary_sentences(comparison):
        log.info(sentence)


def _log_external(results: ExternalResults) -> None:
    if results.provenance.synthetic_images:
        log.info("Synthetic images: these numbers say nothing about real skin.")
    for sentence in external_sentences(results):
        log.info(printable(sentence.replace(NBSP, " ")))
    log.info("To see them beside the internal test: kedro run --pipelines report")


def _log_findings(findings: AuditFindings) -> None:
    counts, *severe = summary_messages(findings)
    log.info("Data: %s; %d severe finding%s", counts, len(severe), "s" * (len(severe) != 1))


# Output of a run, the data set that is summarized, and the function that logs it.
_SUMMARIES: tuple[tuple[str, str, Callable[[Any], None]], ...] = (
    ("metrics", "metrics", _log_metrics),
    ("test_ledger", "test_ledger", _log_ledger),
    ("comparison_page", "comparison", _log_comparison),
    ("external_metrics", "external_metrics", _log_external),
    ("report", "audit_findings", _log_findings),
)
