"""End-to-end runs of the real project."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pandas as pd
import pytest
import torch
from filelock import FileLock
from kedro.io import DatasetError

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.synthetic import synthetic_table

pytestmark = pytest.mark.slow


@pytest.fixture
def planted(demo_run):
    return synthetic_table(demo_run.load("raw_images").origin.seed)


def finding(study, name):
    return next(f for f in study.load("audit_findings").findings if f.id == name)


def objects(study):
    return sorted(
        path for path in (study.data_root / "01_raw/objects").rglob("*") if path.is_file()
    )


def test_every_file_is_described_or_quarantined(demo_run, planted):
    table, quarantine = demo_run.table("image_table"), demo_run.load("quarantine")
    assert sorted([*table["file"], *quarantine["file"]]) == sorted(planted["file"])
    assert quarantine["file"].tolist() == planted.query("planted == 'truncated'")["file"].tolist()
    assert quarantine["reason"].str.contains("truncated").all()


def test_audit_finds_the_planted_faults(demo_run, planted):
    duplicates = planted[planted["planted"].isin(["copy", "other_label"])]
    assert finding(demo_run, "exact_duplicates").count == len(duplicates)
    conflicting = (planted["planted"] == "other_label").sum()
    assert finding(demo_run, "exact_duplicate_label_conflicts").count == conflicting
    assert finding(demo_run, "exact_duplicates_across_splits").count > 0
    assert finding(demo_run, "groups_across_splits").details["fraction"] > 0.2


def test_images_of_one_lesion_are_in_one_group(demo_run, planted):
    grouped = demo_run.load("image_groups").merge(planted[["file", "lesion"]], on="file")
    assert grouped.groupby("lesion")["group_id"].nunique().eq(1).all()


def test_split_keeps_lesions_together_and_excludes_duplicates(demo_run, planted):
    split = demo_run.table("split_table").merge(planted[["file", "lesion"]], on="file")
    assert split.groupby("lesion")["split"].nunique().eq(1).all()
    assert not split["image_id"].duplicated().any()
    sizes = split["split"].value_counts(normalize=True)
    assert sizes["test"] == pytest.approx(0.15, abs=0.02)


def test_predictions_and_metrics_cover_validation_and_test_images(demo_run):
    split, predictions = demo_run.table("split_table"), demo_run.table("predictions")
    evaluated = split[split["split"] != "train"]
    assert sorted(predictions["file"]) == sorted(evaluated["file"])
    metrics = demo_run.load("metrics")
    assert metrics.test.n == (split["split"] == "test").sum()
    test = predictions[predictions["split"] == "test"]
    accuracy = (test["label"] == test["predicted"]).mean()
    assert metrics.test["accuracy"].value == pytest.approx(accuracy)


def test_results_from_synthetic_images_are_marked_at_the_top(demo_run):
    assert "synthetic images" in demo_run.load("report").casefold()[:6000]
    assert "synthetic images" in demo_run.load("model_card").casefold()[:600]
    assert demo_run.load("metrics").provenance.synthetic_images
    assert demo_run.load("model").provenance.origin.is_synthetic


def test_metrics_are_strict_json_with_the_versions_of_all_inputs(demo_run):
    metrics = json.loads(demo_run.catalog()["metrics"].load_path().read_text())
    json.dumps(metrics, allow_nan=False)
    assert metrics["test"]["accuracy"].keys() >= {"value", "low", "high"}
    for name in ("model", "raw_images", "image_table", "split_table", "predictions"):
        assert metrics["provenance"][f"{name}_version"] == demo_run.versions(name)[0]


def test_model_file_contains_everything_for_inference(demo_run):
    model = demo_run.load("model")
    split = demo_run.table("split_table")
    assert list(model.classes) == sorted(split["label"].unique())
    assert set(model.train_image_ids) == set(split.query("split == 'train'")["image_id"])
    assert set(model.val_image_ids) == set(split.query("split == 'val'")["image_id"])
    assert model.preprocessing.image_size == 32
    assert model.postprocessing.calibration.temperature > 0
    assert model.recipe["seed"] == 20240501
    assert model.provenance.split_policy == "grouped"
    assert model.provenance.device.startswith("cpu (")
    assert model.provenance.processes == 1
    assert model.provenance.precision in ("float32", "bfloat16")
    for library in ("torch", "torchvision", "numpy", "scikit-learn"):
        assert model.provenance.libraries[library] == version(library).split("+")[0]


def test_second_run_stores_no_new_images_and_gives_the_same_weights(demo_copy):
    stored, first = objects(demo_copy), demo_copy.load("model")
    pixels = (demo_copy.data_root / "05_model_input").rglob("images.bin")
    sizes = {path: path.stat().st_size for path in pixels}
    demo_copy.run()
    assert objects(demo_copy) == stored
    assert {path: path.stat().st_size for path in sizes} == sizes
    assert len(demo_copy.versions("model")) == 2
    second = demo_copy.load("model")
    assert second.version > first.version
    assert all(torch.equal(second.state_dict[name], t) for name, t in first.state_dict.items())


def test_evaluate_reproduces_the_metrics(demo_copy):
    demo_copy.run("evaluate")
    first, second = (demo_copy.load("metrics", v) for v in demo_copy.versions("metrics"))
    assert second.test == first.test
    assert second.provenance.model_version == first.provenance.model_version


def test_evaluate_rejects_a_model_of_another_split_but_accepts_the_older_split(demo_copy):
    old = {name: demo_copy.versions(name)[0] for name in ("model", "split_table", "raw_images")}
    demo_copy.run("preprocess", split={"seed": 5})
    with pytest.raises(InputError) as error:
        demo_copy.run("evaluate")
    new_split = demo_copy.versions("split_table")[1]
    assert f"belongs to split_table {old['split_table']}, not to {new_split}" in str(error.value)
    demo_copy.run("evaluate", load_versions=old)
    assert demo_copy.load("metrics").provenance.split_table_version == old["split_table"]


def test_evaluate_rejects_other_images(demo_copy):
    demo_copy.run("ingest", source={"demo": {"seed": 7}})
    with pytest.raises(InputError, match=r"model \S+ belongs to image_table"):
        demo_copy.run("evaluate")


def test_malicious_model_file_is_rejected_without_running_its_code(demo_copy, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    version = demo_copy.versions("model")[0]
    torch.save(Malicious(), demo_copy.data_root / "06_models/model.pth" / version / "model.pth")
    with pytest.raises(InputError, match="contains code or Python objects"):
        demo_copy.run("evaluate")
    assert not (tmp_path / "was_run").exists()


def test_changed_byte_in_the_store_of_raw_images_is_reported(demo_copy):
    damaged = objects(demo_copy)[0]
    content = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        DatasetError
    ) as error:  # another size requires all images to be decoded again
        demo_copy.run(from_nodes=["ingest.decode_images"], ingest={"stored_image_size": 48})
    assert f"{damaged} has changed since it was stored" in str(error.value.__cause__)
    demo_copy.run("ingest")
    assert damaged.read_bytes() == content


def test_run_can_start_from_any_node(demo_copy):
    for node in (
        "ingest.decode_images",
        "audit.audit_images",
        "evaluate.score",
        "report.write_report",
    ):
        demo_copy.run(from_nodes=[node], train={"epochs": 1})
    assert len(demo_copy.versions("raw_images")) == 1
    assert len(demo_copy.versions("report")) == 5


def test_original_split_keeps_and_marks_leaked_images(demo_copy):
    demo_copy.run("preprocess", split={"policy": "original"})
    split, table = demo_copy.table("split_table"), demo_copy.table("image_table")
    assert len(split) == len(table)
    assert (split["split"] == split["original_split"]).all()
    details = finding(demo_copy, "groups_across_splits").details
    assert split["is_leaked"].sum() == details["leaked_test_files"]


def test_second_run_in_the_same_data_root_is_rejected(demo_copy):
    with FileLock(demo_copy.data_root / ".lock"), pytest.raises(InputError, match="is writing to"):
        demo_copy.run("audit")
    demo_copy.run("audit")


def kedro(project, *args):
    command = [sys.executable, "-m", "kedro", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_command_line_evaluates_the_model_of_an_earlier_run(demo_copy):
    done = kedro(
        demo_copy.project,
        *("run", "--pipeline", "evaluate", "--params"),
        f"data_root={demo_copy.data_root}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Test (grouped split): balanced accuracy" in done.stdout
    assert "Synthetic images" in done.stdout
    assert len(demo_copy.versions("metrics")) == 2


def test_command_line_rejects_results_and_sources_that_do_not_match(demo_copy):
    """A newer model, like that of ``kedro run --pipelines train``, is a copy with a new version."""
    root, old = demo_copy.data_root, demo_copy.versions("model")[0]
    new = f"{old[:-4]}999Z"
    for name in ("model.pth", "training_history.csv"):
        shutil.copytree(root / "06_models" / name / old, root / "06_models" / name / new)

    def run(*options, params=""):
        params = f"data_root={root},ingest.stored_image_size=64{params}"
        done = kedro(demo_copy.project, "run", *options, "--params", params)
        output = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in output
        assert (done.returncode == 0) == ("Error: " not in output)
        return output

    reports = demo_copy.versions("report")
    output = run("--pipelines", "report")
    assert f"metrics {old} belongs to model {old}, not to {new}. Fix: kedro run" in output
    assert "kedro run --pipelines evaluate,report" in output
    output = run("--pipelines", "evaluate", params=",source.demo.seed=7")
    assert "source.demo.seed=20240501, not from the configured source.demo.seed=7" in output
    output = run("--pipelines", "evaluate", params=",source.kind=folder")
    assert "set source.kind=demo to use the stored images" in output
    shutil.rmtree(root / "08_reporting/linked_image_pairs.png")
    output = run("--from-nodes", "train.fit")
    assert "kedro run --pipelines audit,train,evaluate,report" in output
    assert demo_copy.versions("report") == reports

    assert "Test (grouped split)" in run("--pipelines", "audit,evaluate,report")
    assert demo_copy.load("metrics").provenance.model_version == new
    assert new in demo_copy.load("model_card")


def test_invalid_parameters_are_reported_without_traceback(project, tmp_path):
    params = f"data_root={tmp_path},trian.epochs=1,split.policy=fair"
    done = kedro(project, "run", "--params", params)
    assert done.returncode == 1
    assert "trian: unknown group" in done.stderr
    assert "split.policy" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_error_wrapped_by_kedro_is_reported_without_traceback(project, tmp_path):
    params = f"data_root={tmp_path},train.weights=none"
    done = kedro(project, "run", "--env", "folder", "--params", params)
    assert done.returncode == 1
    assert "source.folder is not set" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_listing_pipelines_and_reading_the_catalog_configuration_does_not_import_torch(project):
    code = (
        "import sys; from pathlib import Path;"
        "from kedro.framework.startup import bootstrap_project;"
        f"bootstrap_project(Path({str(project)!r}));"
        "from kedro.framework.project import pipelines, settings; print(*sorted(pipelines));"
        "loader = settings.CONFIG_LOADER_CLASS('conf', env='demo', **settings.CONFIG_LOADER_ARGS);"
        "assert 'model' in loader['catalog'];"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= {
        "__default__",
        "ingest",
        "audit",
        "preprocess",
        "train",
        "evaluate",
        "report",
    }


def test_quarantine_is_loaded_as_a_table(demo_run):
    assert list(demo_run.load("quarantine").columns) == ["file", "reason"]
    assert isinstance(demo_run.load("quarantine"), pd.DataFrame)


def test_fail_on_stops_a_run_before_the_split_and_saves_the_findings(demo_copy):
    splits = demo_copy.versions("split_table")
    with pytest.raises(
        InputError,
        match=r"found .* of severity high or above \(parameter audit.fail_on\)\. First: ",
    ):
        demo_copy.run("audit", "preprocess", audit={"fail_on": "high"})
    assert demo_copy.versions("split_table") == splits
    assert len(demo_copy.versions("audit_findings")) == 2
