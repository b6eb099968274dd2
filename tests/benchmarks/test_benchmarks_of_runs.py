"""The benchmarks that run the pipelines, with the results of the demo in place of each run."""

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skin_lesions.commands.run import run as run_command
from skin_lesions.data.tabular import fit_encoder
from skin_lesions.models.postprocessing.metadata_fusion import fit_metadata_model
from skin_lesions.training.schedules import image_size_at
from support.benchmarks import import_benchmark
from support.recipes import recipe
from support.study import Study


class Runs:
    """Accepts runs of kedro: checks their options and copies the results of the demo."""

    def __init__(self, demo: Study):
        self.demo = demo
        self.options: list[dict[str, Any]] = []

    def __call__(self, *args: str) -> None:
        options = run_command.make_context("run", list(args)).params
        self.options.append(options)
        self.copy(Path(options["params"]["data_root"]))

    def copy(self, root: Path) -> None:
        for folder in ("03_primary", "06_models", "07_model_output", "08_reporting"):
            shutil.copytree(self.demo.data_root / folder, root / folder, dirs_exist_ok=True)


@pytest.fixture
def runs(demo_run):
    return Runs(demo_run)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Save records in a temporary folder."""
    monkeypatch.setattr(import_benchmark("record"), "RESULTS", tmp_path)
    monkeypatch.setattr(import_benchmark("ablation"), "RESULTS", tmp_path)
    return lambda name: json.loads((tmp_path / f"{name}.json").read_text())["results"]


@pytest.fixture
def study_of(runs, tmp_path, monkeypatch):
    """Create the study of a benchmark in a temporary folder."""
    trainings = import_benchmark("trainings")

    def create(args, name):
        study = trainings.study_of(args, name)
        return replace(study, root=tmp_path / "data", records=tmp_path / "trainings.jsonl")

    def run(study, env, pipelines, params):
        params = f"data_root={study.root}{study.params}{params}"
        runs("--env", env, "--pipelines", pipelines, "--params", params)

    monkeypatch.setattr(trainings.Study, "run", run)
    return create


def options(**changes):
    empty = {"folder": None, "architecture": None, "weights": None, "params": ""}
    return Namespace(**empty | changes)


def test_demo_measures_a_run_an_evaluation_and_a_listing(runs, results, monkeypatch):
    demo = import_benchmark("demo")
    commands = []

    def run(*args):
        commands.append(args[0])
        if args[0] == "run":
            runs(*args[1:])
        return 100.0, 0.5

    monkeypatch.setattr(demo, "run", run)
    demo.main("", "demo")
    assert commands == ["run", "run", "registry"]
    assert runs.options[1]["pipelines"] == ["evaluate"]
    assert results("demo")["training_seconds"] > 0
    assert results("demo")["peak_memory_gb"] == 0.5


def test_leak_evaluates_each_policy_and_seed(runs, results, monkeypatch):
    leak = import_benchmark("leak")
    monkeypatch.setattr(leak, "kedro", runs)
    leak.main(["grouped", "original"], 2, "", "leak")
    policies = [run["params"].get("split", {}).get("policy") for run in runs.options]
    assert policies == [None, "grouped", "grouped", "original", "original"]
    assert len(results("leak")["original"]["test"]["balanced_accuracy"]["each"]) == 2


def test_leak_without_policies_records_what_the_audit_finds(runs, results, monkeypatch):
    leak = import_benchmark("leak")
    monkeypatch.setattr(leak, "kedro", runs)
    leak.main([], 1, "", "leak")
    assert len(runs.options) == 1
    data = results("leak")["data"]
    readable = data["files"] - data["quarantined"]
    assert readable == len(runs.demo.load("image_table").frame)
    # Each exact duplicate is linked to the first file with the same bytes.
    assert data["links_by_kind"]["image_id"] == readable - data["images"]


def test_ablation_compares_a_valid_recipe_of_each_part(study_of, results, monkeypatch):
    ablation = import_benchmark("ablation")
    monkeypatch.setattr(ablation, "study_of", study_of)
    ablation.main(options(seeds=1, parts=list(ablation.PARTS), name="ablation"))
    rows = results("ablation")["rows"]
    assert [row["recipe"] for row in rows] == ["default", *ablation.PARTS]
    assert all(row["difference"] == 0 for row in rows[1:])  # all have the results of the demo


def test_time_to_quality_compares_both_recipes_in_the_same_time(study_of, results, monkeypatch):
    benchmark = import_benchmark("time_to_quality")
    monkeypatch.setattr(benchmark, "study_of", study_of)
    benchmark.main(options(seeds=2, name="time_to_quality", notebook_params=""))
    content = results("time_to_quality")
    assert content["epochs"]["notebook"] == [1, 1]
    assert content["test_gain_in_the_same_seconds"]["difference"] == 0


def test_predicted_seconds_of_an_epoch_are_linear_in_its_pixels():
    benchmark = import_benchmark("time_to_quality")
    planned = recipe(epochs=3, image_size=160, progressive_resizing_start=0.5)
    pace = {"image_size": [80, 160], "seconds": [80**2 + 5.0, 160**2 + 5.0]}
    pace["recipe"] = planned.model_dump()
    sizes = [image_size_at(epoch, planned) for epoch in (1, 2, 3)]
    expected = sum(size**2 + 5.0 for size in sizes)
    assert len(set(sizes)) > 1
    assert benchmark.predicted_seconds(3, pace) == pytest.approx(expected)
    assert benchmark.epochs_within(expected + 1, pace) == 3


def test_recipes_summarizes_two_models_and_their_comparison(
    study_of, runs, demo_copy, results, monkeypatch
):
    benchmark = import_benchmark("recipes")
    monkeypatch.setattr(benchmark, "study_of", lambda *_: replace(study, root=demo_copy.data_root))
    study, environments = study_of(options(), "recipes"), []

    def run(study, env, pipelines, params):
        environments.append(env)
        # The model of the demo stands for each trained model.
        evaluated = [name for name in pipelines.split(",") if name != "train"]
        robustness = {"enabled": env == "notebook"}  # of one recipe, to save time
        demo_copy.run(*evaluated, evaluate={"robustness": robustness})
        assert params == ",evaluate.robustness.enabled=true"

    monkeypatch.setattr(import_benchmark("trainings").Study, "run", run)
    benchmark.main(options())
    assert environments == ["notebook", "folder", "folder"]
    content = results("recipes")
    metrics = demo_copy.load("metrics").test
    for name, recipe_ in content["recipes"].items():
        assert recipe_["test"]["balanced_accuracy"]["value"] == metrics["balanced_accuracy"].value
        assert bool(recipe_["robustness"]) == (name == "notebook")
        assert recipe_["label_issues"] == len(demo_copy.load("label_issues"))
        assert recipe_["slices"]
    assert content["comparison"]["verdict"] == "no_difference_shown"
    assert content["findings"]


def test_clinical_metadata_compares_all_settings_with_the_image_alone(
    study_of, demo_copy, results, monkeypatch
):
    benchmark = import_benchmark("clinical_metadata")
    monkeypatch.setattr(benchmark, "study_of", lambda *_: replace(study, root=demo_copy.data_root))
    study, trained = study_of(options(), "clinical_metadata"), []
    monkeypatch.setattr(
        import_benchmark("trainings").Study, "run", lambda *arguments: trained.append(arguments[1:])
    )
    real_images_of = benchmark.images_of

    def images_of(root):
        """Return the images; after a training with metadata, with the model of such a training."""
        images = real_images_of(root)
        if "concat" not in trained[-1][-1]:
            return images
        encoder = fit_encoder(images.train, ["age", "sex"], {})
        fusion = fit_metadata_model(encoder, images.train, images.classes)
        return replace(images, fusion=replace(fusion, method="concat", weight=1.0))

    monkeypatch.setattr(benchmark, "images_of", images_of)
    benchmark.main(options(seeds=2))
    params = [f",train.seed={seed},evaluate.explain.enabled=false" for seed in (1, 2)]
    variants = ["", ",train.fusion=concat,metadata.equalize_missing=false", ",train.fusion=concat"]
    assert trained == [
        ("demo", "train,evaluate", seed + variant) for seed in params for variant in variants
    ]
    settings = results("clinical_metadata")["settings"]
    image = settings.pop("image")["balanced_accuracy"]
    assert image == pytest.approx(demo_copy.load("metrics").test["balanced_accuracy"].value)
    assert len(settings) == 8
    for name, found in settings.items():
        assert found["difference"] == pytest.approx(found["balanced_accuracy"] - image), name
        assert found["low"] <= found["difference"] <= found["high"], name
        assert 0 <= found["weight"] <= 3, name
