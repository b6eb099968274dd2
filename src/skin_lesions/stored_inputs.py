"""Stored inputs of a run: before the first node, they must exist, be readable and match.

Kedro looks up the newest version of each data set separately. After a killed run, a new training or
with a pinned version, the newest versions may not belong together.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from kedro.io import AbstractVersionedDataset, DataCatalog, DatasetError, Version
from kedro.io.core import VersionNotFoundError
from kedro.pipeline import Pipeline

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.provenance import Origin, recorded_versions
from skin_lesions.evaluation.input_checks import not_stored
from skin_lesions.pipeline_registry import DEFAULT
from skin_lesions.reporting.figures.drawn import figure_versions
from skin_lesions.reporting.front_matter import card_versions

# Each run of a stage saves both data sets, so they have the same version.
_SAVED_TOGETHER = {
    "model": "training_history",
    "image_table": "quarantine",
    "image_groups": "image_links",
}
# Plain tables without provenance: made from the newest version of their time of this data set.
_MADE_FROM_NEWEST = {"image_groups": "image_table", "label_issues": "predictions"}
# Data sets with the origin of the images. The first one that a run reads is compared with the
# parameters: later ones are compared by content with the tables that they were made from.
_WITH_ORIGIN = ("image_table", "split_table", "model", "raw_images")
# Results of evaluators, made from the same predictions. The first one of a run is named in errors.
_RESULTS = (
    "metrics",
    "malignancy",
    "slices",
    "uncertainty",
    "robustness",
    "fusion",
    "unknown",
    "model_findings",
    "explained_images",
    "label_issues",
)
# Data sets that record the fingerprints of the tables that they were made from.
_WITH_FINGERPRINTS = {"split_table", "model", "predictions", *_RESULTS} - {"label_issues"}
# A finished model can be evaluated on images of another source than the configured one.
_ANY_SOURCE = {"external"}
# Data sets that a pipeline uses only if they exist.
_OPTIONAL = {
    "compare": {"pixel_store"},
    "export": {"pixel_store"},
    "external": {"pixel_store", "stored_raw_images", "stored_predictions"},
    "localize": {"pixel_store"},
}
# In this order, messages list the pipelines.
_STAGES = (*DEFAULT, "compare", "clean", "predict", "localize", "export", "external")
_SAME_OPTIONS = "(same --env, --params and --load-versions)"


@dataclass(frozen=True)
class _Problem:
    """A stored data set that this run cannot use.

    Attributes:
        name: The data set.
        text: What is wrong, as a sentence.
        pin: Name and version of another data set that ``name`` matches.
        alternatives: Other ways to fix it.
    """

    name: str
    text: str
    pin: tuple[str, str] | None = None
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Selection:
    """The data sets that a run reads and writes, and the versions that it reads.

    Attributes:
        inputs: The data sets that it reads.
        outputs: The data sets that it writes.
        pins: Versions of inputs.
        any_source: Whether the origin of the images may differ from the configured source.
    """

    inputs: Collection[str]
    outputs: Collection[str]
    pins: Mapping[str, str] = field(default_factory=dict)
    any_source: bool = False


@dataclass(frozen=True)
class StoredInputs:
    """The data sets of a data root, from the view of one run.

    Attributes:
        catalog: Catalog of the run, with the versions of ``--load-versions``.
        root: The data root.
        source: Configured source of the images.
        given: Parameters of ``source`` that ``--params`` sets, such as ``demo.seed``.
        replaced: Inputs that a parameter replaces by a file outside of the data root. They are not
            checked, because they belong to no other input.
    """

    catalog: DataCatalog
    root: Path
    source: Source
    given: Collection[str]
    replaced: Collection[str] = ()
    _loaded: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def check(self, pipeline: Pipeline, *, only_missing_outputs: bool = False) -> None:
        """Check that the run can read its inputs, and that they belong together.

        Args:
            pipeline: Nodes of the run.
            only_missing_outputs: Whether the run skips nodes whose outputs exist.

        Raises:
            InputError: The message has both versions and the cheapest commands that fix it.
        """
        inputs, outputs = pipeline.inputs(), pipeline.all_outputs()
        if only_missing_outputs:
            inputs = inputs | {name for name in outputs if self._exists(name)}
        stages = {node.namespace for node in pipeline.nodes if node.namespace}
        selection = _Selection(
            inputs - _unused_inputs(pipeline) - set(self.replaced),
            outputs - inputs,
            any_source=stages <= _ANY_SOURCE,
        )
        problem = self._problem(selection)
        if problem is None:
            return
        needed = self._stages_needed(stages, problem)
        added = needed - stages
        pins = self._pins(selection, problem)
        names = ",".join(name for name in _STAGES if name in needed)
        fixes = ["kedro run" if needed == set(DEFAULT) else f"kedro run --pipelines {names}"]
        if pins:
            # Results of the newest model are expected, but no other stage is repeated if avoidable.
            fixes.insert(1 if added <= {"evaluate", "report"} else 0, pins)
        fixes = [*problem.alternatives, *fixes]
        raise InputError(f"{problem.text} Fix: {'; or '.join(fixes)} {_SAME_OPTIONS}.")

    def check_versions(self, pipeline: Pipeline, save_version: str) -> None:
        """Check that the run will read its own results.

        Raises:
            InputError: A data set has versions that are not older than the run, or
                ``--load-versions`` selects a version of a data set that the run creates.
        """
        pinned = sorted(name for name in pipeline.all_outputs() if self._requested(name))
        if pinned:
            raise InputError(
                f"--load-versions selects a version of {pinned[0]}, but this run creates a new "
                "one. Fix: leave it out, or select later pipelines with --pipelines"
            )
        newest = {
            name: max(versions)
            for name in sorted(pipeline.datasets())
            if (versions := self._versions(name)) and not self._requested(name)
        }
        newer = [f"{name} {version}" for name, version in newest.items() if version >= save_version]
        if newer:
            raise InputError(
                f"The data root {self.root} has versions that are not older than this run "
                f"({save_version}), so the run would read them instead of its own results: "
                f"{printable(', '.join(newer))}. Fix: correct the clock of this machine; if it is "
                "correct, delete the folders of these versions, or choose another location with "
                "--params data_root=/path"
            )

    def _problem(self, selection: _Selection) -> _Problem | None:
        """Return the first problem of a run, or None."""
        names = sorted(
            (name for name in selection.inputs if not name.startswith("param")),
            key=lambda name: ("metrics", _RESULTS.index(name)) if name in _RESULTS else (name, 0),
        )
        for name in names:
            if not self._exists(name):
                text = f"This run reads {name}, but {self.root} contains no version of it."
                return _Problem(name, text)
        problems = (problem for name in names for problem in self._mismatches(name, selection))
        origin_problem = None if selection.any_source else self._origin_problem(selection)
        return origin_problem or next(problems, None)

    def _origin_problem(self, selection: _Selection) -> _Problem | None:
        name = next((name for name in _WITH_ORIGIN if name in selection.inputs), None)
        if name is None:
            return None
        data = self._load(name, selection)
        origin: Origin = data.origin if name == "raw_images" else data.provenance.origin
        differences = origin.differences(self.source, self.given)
        if not differences:
            return None
        parameter, (recorded, configured) = next(iter(differences.items()))
        text = (
            f"{name} {self._version(name, selection)} was made from "
            f"{printable(f'{parameter}={recorded}')}, not from the configured "
            f"{printable(f'{parameter}={configured}')}."
        )
        is_kind = parameter == "source.kind"
        keep = f"set {parameter}={recorded}" if is_kind else f"leave out {parameter}"
        alternatives = [f"{keep} to use the stored images"]
        if parameter == "source.folder":
            alternatives.append("if only the folder was moved, kedro run --pipelines ingest")
        return _Problem(name, text, alternatives=tuple(alternatives))

    def _mismatches(self, name: str, selection: _Selection) -> Iterator[_Problem]:
        """Yield the data sets that another input was not made from."""
        data = self._load(name, selection)
        version = self._version(name, selection)
        sources = _recorded_sources(data)
        if name in _SAVED_TOGETHER and version is not None:
            sources = {**sources, _SAVED_TOGETHER[name]: version}
        if name in _MADE_FROM_NEWEST:
            source = _MADE_FROM_NEWEST[name]
            earlier = [v for v in self._versions(source) if v <= str(version)]
            sources = {**sources, source: max(earlier, default="a deleted version")}
        for source, recorded in sources.items():
            by_content = _compared_by_content(name, source)
            if source in selection.outputs and not by_content:
                yield _Problem(
                    name,
                    f"{name} {version} belongs to {source} {recorded}, but this run creates a new "
                    f"version of {source}.",
                )
            elif source in selection.inputs:
                loaded = self._version(source, selection)
                if recorded != loaded and not self._equal_content(data, name, source, selection):
                    yield _Problem(
                        name,
                        f"{name} {version} belongs to {source} {recorded}, not to {loaded}.",
                        (source, recorded),
                    )

    def _equal_content(self, data: Any, name: str, source: str, selection: _Selection) -> bool:
        """Return whether another version of a table has the content that data were made from."""
        if not _compared_by_content(name, source):
            return False
        table = self._load(source, selection)
        if source == "raw_images":
            return not len(not_stored(data, table)) if name == "image_table" else True
        if name == "predictions":  # compared through the model
            return True
        if source == "image_table":
            return bool(data_fingerprint(table.frame) == data.provenance.data_fingerprint)
        return bool(split_fingerprint(table.frame) == data.provenance.split_fingerprint)

    def _stages_needed(self, stages: Collection[str], problem: _Problem) -> set[str]:
        """Return the stages, and those that create all inputs that they cannot use."""
        needed = set(stages)
        found: _Problem | None = problem
        while found is not None:
            needed.add(_producers()[found.name])
            pipeline = sum((_stages()[name] for name in needed if name in _STAGES), Pipeline([]))
            found = self._problem(_Selection(pipeline.inputs(), pipeline.all_outputs()))
        return needed

    def _pins(self, selection: _Selection, problem: _Problem) -> str | None:
        """Return the option that selects existing versions that belong together, or None."""
        pins: dict[str, str] = {}
        found: _Problem | None = problem
        while found is not None:
            if found.pin is None or found.pin[0] in pins:
                return None
            name, version = found.pin
            if version not in self._versions(name):
                return None
            pins[name] = version
            found = self._problem(replace(selection, pins=pins))
        versions = ",".join(f"{name}:{version}" for name, version in pins.items())
        return f"the same command with --load-versions {versions}"

    def _dataset(self, name: str) -> Any:
        return self.catalog.get(name)

    def _versions(self, name: str) -> list[str]:
        """Return the versions of a data set, newest first; empty if it is not versioned."""
        dataset = self._dataset(name)
        if not isinstance(dataset, AbstractVersionedDataset):
            return []
        try:
            return [str(version) for version in dataset.list_versions(full_path=False)]
        except VersionNotFoundError as error:
            raise InputError(
                f"The versions of {name} cannot be listed ({printable(error.__cause__)}). "
                "Fix: change the permissions of the data root, so that this user can read it"
            ) from None

    def _exists(self, name: str) -> bool:
        dataset = self._dataset(name)
        if isinstance(dataset, AbstractVersionedDataset):
            return bool(self._versions(name))
        return dataset is not None and dataset.exists()

    def _requested(self, name: str) -> str | None:
        """Return the version that ``--load-versions`` selects."""
        version = getattr(self._dataset(name), "_version", None)
        return version.load if version else None

    def _version(self, name: str, selection: _Selection) -> str | None:
        """Return the version that the run reads; None for data sets without versions.

        Raises:
            InputError: ``--load-versions`` selects a version that does not exist.
        """
        versions = self._versions(name)
        version = selection.pins.get(name) or self._requested(name)
        if version and version not in versions:
            raise InputError(
                f"{name} has no version {printable(repr(version))} (--load-versions). Available: "
                f"{', '.join(versions) or 'none'}"
            )
        return version or next(iter(versions), None)

    def _load(self, name: str, selection: _Selection) -> Any:
        version = self._version(name, selection)
        if (name, version) not in self._loaded:
            dataset: Any = self.catalog.get(name, version=Version(version, None))
            try:
                self._loaded[name, version] = dataset.load()
            except DatasetError as error:
                raise error.__cause__ or error from None
        return self._loaded[name, version]


def _unused_inputs(pipeline: Pipeline) -> set[str]:
    """Return the inputs that every node that reads them can do without."""
    required = {
        name
        for node in pipeline.nodes
        for name in node.inputs
        if name not in _OPTIONAL.get(node.namespace or "", set())
    }
    return pipeline.inputs() - required


def _recorded_sources(data: object) -> dict[str, str]:
    """Return the versions that loaded data were made from, by the name of the data set."""
    if isinstance(data, bytes):
        return figure_versions(data)
    return card_versions(data) if isinstance(data, str) else recorded_versions(data)


def _compared_by_content(name: str, source: str) -> bool:
    """Return whether fingerprints show that ``name`` matches another version of ``source``."""
    if source == "raw_images":
        return True
    return name in _WITH_FINGERPRINTS and source in ("image_table", "split_table")


@cache
def _stages() -> dict[str, Pipeline]:
    """Return the pipelines. ``kedro run --pipelines`` registers only some of them."""
    return {
        name: import_module(f"skin_lesions.pipelines.{name}").create_pipeline() for name in _STAGES
    }


@cache
def _producers() -> dict[str, str]:
    """Return the pipeline that creates each data set."""
    return {name: stage for stage, nodes in _stages().items() for name in nodes.all_outputs()}
