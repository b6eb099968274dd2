"""Checks of stored data sets before the first node, on made-up data roots."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, Version
from kedro.pipeline import Pipeline
from matplotlib.figure import Figure

from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.provenance import path_hash
from skin_lesions.datasets.table import write_frame
from skin_lesions.evaluation.test_ledger import evaluation_of
from skin_lesions.pipeline_registry import DEFAULT
from skin_lesions.reporting.figures.drawn import DrawnFigure
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.reporting.front_matter import front_matter
from skin_lesions.settings import CONFIG_LOADER_ARGS
from skin_lesions.stored_inputs import StoredInputs, _stages
from support.factories import source as source_parameters
from support.report_inputs import (
    IMAGE_TABLE_VERSION,
    RAW_IMAGES_VERSION,
    SPLIT_TABLE_VERSION,
    VERSION,
    two_classes,
    with_frame,
    with_provenance,
)

AUDIT_VERSION = "2026-11-23T05.15.00.000Z"
LATER = "2026-11-23T07.00.00.000Z"
NOW = "2026-11-24T00.00.00.000Z"
SOURCE = source_parameters(kind="demo", demo={"seed": 1, "missingness_leak": False})
TABLES = {"image_table", "quarantine", "image_groups", "image_links", "split_table", "predictions"}
RESULTS = (  # of evaluators
    *("metrics", "malignancy", "slices", "uncertainty", "robustness", "unknown", "model_findings"),
    "fusion",
)
VERSIONED = sorted(
    {"raw_images", *TABLES, "model", "training_history", "audit_findings", *RESULTS}
    | {"explained_images", "label_issues"}
    | {"linked_image_pairs"}
)


def made_up() -> dict[str, Any]:
    """Make up results that belong together."""
    made = two_classes(synthetic=True)
    fingerprints = {
        "data_fingerprint": data_fingerprint(made.image_table.frame),
        "split_fingerprint": split_fingerprint(made.split_table.frame),
    }
    provenance = made.split_table.provenance.model_copy(update=fingerprints)
    results = {
        name: getattr(made, name)
        for name in VERSIONED
        if name not in ("raw_images", "linked_image_pairs")
    }
    return {
        **results,
        "split_table": replace(made.split_table, provenance=provenance),
        "model": with_provenance(made.model, **fingerprints),
        **{name: with_provenance(getattr(made, name), **fingerprints) for name in RESULTS},
        "explained_images": replace(
            made.explained_images,
            provenance=made.explained_images.provenance.model_copy(update=fingerprints),
        ),
    }


def figure(**versions: str) -> DrawnFigure:
    return DrawnFigure(Figure(), versions)


def card(made: Any) -> str:
    """Return a model card without its text."""
    return f"---\n{front_matter(made.model, made.metrics)}---\n\n# Model card\n"


class Root:
    """A made-up data root."""

    def __init__(self, project: Path, folder: Path):
        loader = OmegaConfigLoader(
            str(project / "conf"),
            env="demo",
            runtime_params={"data_root": str(folder)},
            **CONFIG_LOADER_ARGS,
        )
        self.folder, self.config = folder, loader["catalog"]

    def catalog(self, **load_versions: str) -> DataCatalog:
        return DataCatalog.from_config(self.config, load_versions=load_versions, save_version=NOW)

    def save(self, name: str, data: Any, version: str) -> None:
        self.catalog().get(name, version=Version(None, version)).save(data)

    def path(self, name: str, version: str | None = None) -> Path:
        """Return the file of a version, or the folder of all versions."""
        entry = self.catalog()[name]
        folder = Path(entry._filepath)
        return folder / version / folder.name if version else folder

    def check(
        self,
        *stages: str,
        pipeline: Pipeline | None = None,
        source: Source = SOURCE,
        given: tuple[str, ...] = (),
        only_missing_outputs: bool = False,
        **load_versions: str,
    ) -> None:
        """Check the inputs of a run of these stages."""
        pipeline = pipeline or sum((_stages()[stage] for stage in stages), Pipeline([]))
        stored = StoredInputs(self.catalog(**load_versions), self.folder, source, given)
        stored.check_versions(pipeline, NOW)
        stored.check(pipeline, only_missing_outputs=only_missing_outputs)

    def error(self, *stages: str, **arguments: Any) -> str:
        with pytest.raises(InputError) as error:
            self.check(*stages, **arguments)
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture(scope="module")
def complete(project, tmp_path_factory) -> Root:
    """A data root with the results of one run of all pipelines; read-only."""
    root = Root(project, tmp_path_factory.mktemp("complete") / "data")
    results = made_up()
    versions = {
        "image_table": IMAGE_TABLE_VERSION,
        "quarantine": IMAGE_TABLE_VERSION,
        "image_groups": AUDIT_VERSION,
        "image_links": AUDIT_VERSION,
        "audit_findings": AUDIT_VERSION,
        "split_table": SPLIT_TABLE_VERSION,
    }
    for name, data in results.items():
        root.save(name, data, versions.get(name, VERSION))
    made = two_classes(synthetic=True)
    root.save("model_card", card(made), VERSION)
    root.catalog()["test_ledger"].save(evaluation_of(made.metrics, made.predictions))
    table = results["image_table"]
    manifest = root.path("raw_images", RAW_IMAGES_VERSION)
    manifest.parent.mkdir(parents=True)
    write_frame(table.frame.assign(problem=None), table.provenance.origin, manifest)
    (root.folder / "05_model_input/pixel_store").mkdir(parents=True)
    for spec in FIGURES:
        sources = {"image_table": IMAGE_TABLE_VERSION}
        of_results = [name for name in RESULTS if name in spec.inputs]
        if of_results:
            sources = {of_results[0]: VERSION}
        root.save(spec.name, figure(**sources), AUDIT_VERSION)
    return root


@pytest.fixture
def root(project, complete, tmp_path) -> Root:
    """A copy of a complete data root."""
    shutil.copytree(complete.folder, tmp_path / "data")
    return Root(project, tmp_path / "data")


def from_node(name: str) -> Pipeline:
    return sum((_stages()[stage] for stage in DEFAULT), Pipeline([])).from_nodes(name)


def test_inputs_that_belong_together_are_accepted_for_every_pipeline(complete):
    for stage in _stages():
        complete.check(stage)
    for node in ("audit.audit_images", "train.fit", "evaluate.score", "report.write_report"):
        complete.check(pipeline=from_node(node))


def test_report_of_a_new_model_is_rejected_until_it_is_evaluated(root):
    results = made_up()
    root.save("model", results["model"], LATER)
    root.save("training_history", results["training_history"], LATER)
    message = root.error("report")
    assert f"metrics {VERSION} belongs to model {VERSION}, not to {LATER}." in message
    assert "Fix: kedro run --pipelines evaluate,report; or the same command with " in message
    assert f"--load-versions model:{VERSION},training_history:{VERSION} (" in message
    root.check("evaluate", "report")
    root.check("report", model=VERSION, training_history=VERSION)


def test_report_of_an_earlier_model_is_rejected(root):
    root.save("training_history", made_up()["training_history"], LATER)
    metrics = with_provenance(made_up()["metrics"], model_version=LATER)
    root.save("model", made_up()["model"], LATER)
    root.save("metrics", metrics, LATER)
    message = root.error("report", model=VERSION, training_history=VERSION)
    assert f"belongs to model {LATER}, not to {VERSION}" in message


@pytest.mark.parametrize(
    ("name", "change", "problem", "fix"),
    [
        (
            "predictions",
            lambda data: data,
            f"metrics {VERSION} belongs to predictions {VERSION}, not to {LATER}",
            "kedro run --pipelines evaluate,report",
        ),
        (
            "training_history",
            lambda data: data,
            f"model {VERSION} belongs to training_history {VERSION}, not to {LATER}",
            f"the same command with --load-versions training_history:{VERSION}",
        ),
        (
            "quarantine",
            lambda data: data,
            f"image_table {IMAGE_TABLE_VERSION} belongs to quarantine {IMAGE_TABLE_VERSION}",
            f"the same command with --load-versions quarantine:{IMAGE_TABLE_VERSION}",
        ),
        (
            "audit_findings",
            lambda data: data.model_copy(update={"image_table_version": "V0"}),
            f"audit_findings {LATER} belongs to image_table V0, not to {IMAGE_TABLE_VERSION}",
            "kedro run --pipelines audit,report",
        ),
        (
            "linked_image_pairs",
            lambda _: figure(image_table="V0"),
            f"linked_image_pairs {LATER} belongs to image_table V0, not to {IMAGE_TABLE_VERSION}",
            "kedro run --pipelines audit,report",
        ),
        (
            "split_table",
            lambda data: with_frame(data, data.frame.iloc[1:]),
            f"metrics {VERSION} belongs to split_table {SPLIT_TABLE_VERSION}, not to {LATER}",
            f"the same command with --load-versions split_table:{SPLIT_TABLE_VERSION}",
        ),
        (
            "image_table",
            lambda data: with_frame(data, data.frame.iloc[1:]),
            f"audit_findings {AUDIT_VERSION} belongs to image_table {IMAGE_TABLE_VERSION}",
            f"the same command with --load-versions image_table:{IMAGE_TABLE_VERSION}",
        ),
    ],
)
def test_report_rejects_inputs_of_several_runs_with_the_fix(root, name, change, problem, fix):
    data = None if name == "linked_image_pairs" else made_up()[name]
    root.save(name, change(data), LATER)
    message = root.error("report")
    assert problem in message
    assert f"Fix: {fix}" in message


def test_figure_of_another_model_is_rejected(root):
    root.save("confusion_matrix", figure(metrics=LATER), LATER)
    message = root.error(pipeline=from_node("report.write_report"))
    assert f"confusion_matrix {LATER} belongs to metrics {LATER}, not to {VERSION}" in message
    root.check("report")


def test_results_that_a_new_model_makes_obsolete_are_rejected_before_the_training(root):
    message = root.error("train", "report")
    assert f"metrics {VERSION} belongs to model {VERSION}, but this run creates a new" in message
    assert "Fix: kedro run --pipelines train,evaluate,report (" in message


def test_groups_from_before_a_new_image_table_are_rejected(root):
    """New metadata can link images that were not linked before."""
    root.save("image_table", made_up()["image_table"], LATER)
    root.save("quarantine", made_up()["quarantine"], LATER)
    root.save(
        "audit_findings",
        made_up()["audit_findings"].model_copy(update={"image_table_version": LATER}),
        LATER,
    )
    message = root.error("preprocess")
    assert f"image_groups {AUDIT_VERSION} belongs to image_table {IMAGE_TABLE_VERSION}" in message
    assert "kedro run --pipelines audit,preprocess" in message


def test_images_that_were_stored_again_without_a_change_are_accepted(root):
    root.save("image_table", made_up()["image_table"], LATER)
    root.save("quarantine", made_up()["quarantine"], LATER)
    root.check("evaluate")


def test_images_of_another_version_are_rejected(root):
    table = made_up()["image_table"]
    manifest = root.path("raw_images", LATER)
    manifest.parent.mkdir()
    frame = table.frame.iloc[1:].assign(problem=None)
    write_frame(frame, table.provenance.origin, manifest)
    message = root.error("evaluate")
    assert f"belongs to raw_images {RAW_IMAGES_VERSION}, not to {LATER}" in message
    assert f"--load-versions raw_images:{RAW_IMAGES_VERSION}" in message


def test_advice_names_only_versions_that_exist(root):
    root.save(
        "split_table",
        with_frame(made_up()["split_table"], made_up()["split_table"].frame.iloc[1:]),
        LATER,
    )
    assert f"split_table:{SPLIT_TABLE_VERSION}" in root.error("evaluate")
    shutil.rmtree(root.path("split_table", SPLIT_TABLE_VERSION).parent)
    message = root.error("evaluate")
    assert "--load-versions split_table" not in message
    assert "Fix: kedro run --pipelines train,evaluate (" in message


@pytest.mark.parametrize(
    ("missing", "pipeline", "command"),
    [
        ("linked_image_pairs", "train.fit", "audit,train,evaluate,report"),
        ("predictions", "evaluate.score", "evaluate,report"),
        ("model", "evaluate.predict", "train,evaluate,report"),
        ("split_table", "train.fit", "preprocess,train,evaluate,report"),
        ("calibration_curve", "report.write_report", "report"),
        ("raw_images", "ingest.decode_images", None),
    ],
)
def test_missing_input_is_reported_with_the_cheapest_command(root, missing, pipeline, command):
    shutil.rmtree(root.path(missing))
    message = root.error(pipeline=from_node(pipeline))
    assert f"This run reads {missing}, but {root.folder} contains no version of it." in message
    expected = f"kedro run --pipelines {command} (" if command else "Fix: kedro run (same"
    assert expected in message


def test_unknown_version_is_reported_with_the_existing_ones(complete):
    message = complete.error("evaluate", model="2020-01-01T00.00.00.000Z")
    assert "model has no version '2020-01-01T00.00.00.000Z'" in message
    assert f"Available: {VERSION}" in message


@pytest.mark.parametrize("version", ["2030-01-01T00.00.00.000Z", NOW, "backup"])
def test_version_that_is_not_older_than_the_run_stops_it(root, version):
    """Kedro would read it instead of the results of the run, for example after a wrong clock."""
    root.save("metrics", made_up()["metrics"], version)
    message = root.error("evaluate", "report")
    assert f"not older than this run ({NOW})" in message
    assert f"metrics {version}" in message
    assert "correct the clock" in message
    root.check("train")


def test_selected_version_of_an_output_is_rejected(complete):
    message = complete.error("train", "evaluate", model=VERSION)
    assert "--load-versions selects a version of model, but this run creates a new one" in message


def test_other_source_is_rejected_with_both_sources_and_both_fixes(complete):
    other = SOURCE.model_copy(update={"demo": SOURCE.demo.model_copy(update={"seed": 7})})
    complete.check("evaluate", source=other)
    message = complete.error("evaluate", source=other, given=("demo.seed",))
    assert "source.demo.seed=1, not from the configured source.demo.seed=7" in message
    assert "Fix: leave out source.demo.seed to use the stored images; or " in message
    assert "kedro run --pipelines ingest,audit,preprocess,train,evaluate (" in message
    for stage in ("audit", "preprocess", "train", "report"):
        assert "demo.seed=7" in complete.error(stage, source=other, given=("demo.seed",))
    complete.check("ingest", source=other, given=("demo.seed",))


def test_existing_outputs_are_inputs_of_a_run_of_missing_outputs(root):
    root.save("predictions", made_up()["predictions"], LATER)
    root.check("evaluate", "report")
    message = root.error("evaluate", "report", only_missing_outputs=True)
    assert f"metrics {VERSION} belongs to predictions {VERSION}" in message


def test_moved_folder_is_accepted_after_it_was_read_again(root):
    results = made_up()

    def moved(data, folder):
        origin = data.provenance.origin.model_copy(
            update={"kind": "folder", "folder": folder, "folder_hash": path_hash(Path(folder))}
        )
        provenance = data.provenance.model_copy(update={"origin": origin})
        return replace(data, provenance=provenance)

    source = SOURCE.model_copy(update={"kind": "folder", "folder": "/new"})
    root.save("image_table", moved(results["image_table"], "/old"), LATER)
    root.save("quarantine", results["quarantine"], LATER)
    message = root.error("evaluate", source=source)
    assert "source.folder=old, not from the configured source.folder=/new" in message
    assert "if only the folder was moved, kedro run --pipelines ingest;" in message
    root.check("evaluate", source=source.model_copy(update={"folder": None}))
    last = LATER.replace("T07", "T08")
    root.save("image_table", moved(results["image_table"], "/new"), last)
    root.save("quarantine", results["quarantine"], last)
    root.check("evaluate", source=source)


# The runs that read each data set.
READERS = {
    "robustness": "report.draw_robustness_curves",
    "fusion": "report.draw_missing_metadata",
    "explained_images": "report.draw_explanations",
    **dict.fromkeys(["raw_images", "image_table", "quarantine"], "audit.audit_images"),
    **dict.fromkeys(["image_groups", "image_links"], "audit.audit_images"),
    "split_table": "train.fit",
    "predictions": "evaluate.score",
}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def randomize(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def replace_schema(path: Path) -> None:
    """Write a valid file of the same format, with other content."""
    other = pd.DataFrame({"other": [1]})
    if path.suffix == ".parquet":
        other.to_parquet(path)
    elif path.suffix == ".csv":
        other.to_csv(path, index=False)
    elif path.suffix == ".png":
        Figure().savefig(path)
    else:
        path.write_text('{"other": 1}', encoding="utf-8")


def forbid(path: Path) -> None:
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root can read all files")


@pytest.mark.parametrize("damage", [truncate, empty, randomize, replace_schema, forbid])
@pytest.mark.parametrize("name", VERSIONED)
def test_damaged_input_is_reported_with_its_file_and_the_fix(root, name, damage):
    (version,) = (path.name for path in root.path(name).iterdir())
    path = root.path(name, version)
    damage(path)
    message = root.error(pipeline=from_node(READERS.get(name, "report.write_report")))
    assert str(path) in message
    assert "ix: " in message or "kedro run" in message
    assert "Traceback" not in message


def test_input_without_permission_is_reported_with_the_fix(root, monkeypatch):
    """Simulated, because root can read all files."""

    def reject(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", reject)
    message = root.error("report")
    assert "cannot be read" in message
    assert "Permission denied" in message
    assert "Fix: change its permissions" in message


def test_comparison_runs_without_results_in_its_data_root(project, root, tmp_path):
    """It can compare two files of other data roots; the images on its page are optional."""
    Root(project, tmp_path / "empty").check("compare")
    shutil.rmtree(root.folder / "05_model_input/pixel_store")
    root.check("compare")
    assert "This run reads pixel_store" in root.error("compare", "train")


def test_page_of_a_missing_comparison_names_the_pipeline_that_writes_it(root):
    message = root.error(pipeline=_stages()["compare"].from_nodes("compare.write_page"))
    assert "This run reads comparison" in message
    assert "Fix: kedro run --pipelines compare (" in message


def test_robustness_of_another_model_is_rejected(root):
    robustness = with_provenance(made_up()["robustness"], model_version="V0")
    root.save("robustness", robustness, LATER)
    message = root.error(pipeline=from_node("report.draw_robustness_curves"))
    assert f"robustness {LATER} belongs to model V0, not to {VERSION}" in message


def test_export_of_a_new_model_is_rejected_until_its_card_is_written(root):
    results = made_up()
    root.save("model", results["model"], LATER)
    root.save("training_history", results["training_history"], LATER)
    message = root.error("export")
    assert f"model_card {VERSION} belongs to model {VERSION}, not to {LATER}." in message
    assert f"the same command with --load-versions model:{VERSION} (" in message
    assert "kedro run --pipelines evaluate,report,export" in message
    root.check("export", model=VERSION)
    root.check("evaluate", "report", "export")


def test_card_without_the_version_of_its_model_is_rejected(root):
    """Its author may have removed the front matter."""
    root.save("model_card", "# Model card\n\n---\n\nmodel_version: x\n", LATER)
    message = root.error("export")
    assert f"model_card {LATER} belongs to model (unknown), not to {VERSION}." in message
    assert "kedro run --pipelines report,export (" in message


def test_export_needs_a_model_card(root):
    shutil.rmtree(root.path("model_card"))
    message = root.error("export")
    assert "This run reads model_card" in message
    assert "Fix: kedro run --pipelines report,export (" in message


def test_export_needs_no_stored_images(root):
    shutil.rmtree(root.folder / "05_model_input/pixel_store")
    root.check("export")


def test_export_of_a_model_with_another_split_is_rejected(root):
    frame = made_up()["split_table"].frame.iloc[::-1].assign(split="test")
    root.save("split_table", with_frame(made_up()["split_table"], frame), LATER)
    assert f"belongs to split_table {SPLIT_TABLE_VERSION}, not to {LATER}" in root.error("export")
