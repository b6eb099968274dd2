"""Consistency of conf/ and the pipelines."""

import inspect
from typing import Any, get_type_hints

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, pipelines
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline
from kedro.validation.type_extractor import TypeExtractor

from skin_lesions.config.checks import Parameters, check_parameters
from skin_lesions.pipelines import ingest, train
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.settings import CONFIG_LOADER_ARGS
from support.recipes import NO_AUGMENTATION

ENVIRONMENTS = ["base", "demo", "folder", "skin_ds", "notebook"]
MACHINE_DEPENDENT = (
    "device",
    "launcher",
    "num_processes",
    "ray",
    "keep_freed_memory",
    "seed",
    "checkpoint_interval_minutes",
)
STAGES = ["ingest", "audit", "preprocess", "train", "evaluate", "report"]
OTHERS = ["clean", "compare", "predict", "localize", "export", "external"]  # run only by name


@pytest.fixture(autouse=True)
def all_pipelines(project):
    configure_project("skin_lesions")  # after a run of one pipeline, only that one is loaded


def parameters(project, env):
    loader = OmegaConfigLoader(str(project / "conf"), env=env, **CONFIG_LOADER_ARGS)
    return loader["parameters"], loader["globals"]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_each_environment_has_valid_parameters_and_its_own_data_root(project, env):
    values, settings = parameters(project, env)
    check_parameters(values)
    assert settings["data_root"] == f"data/{env}"


def test_environment_notebook_has_the_recipe_of_the_notebook(project):
    values, _ = parameters(project, "notebook")
    assert values["source"]["kind"] == "kaggle"
    assert values["source"]["kaggle"]["dataset"] == "ahmedxc4/skin-ds"
    assert values["split"]["policy"] == "original"
    assert values["preprocess"]["resize_mode"] == "stretch"
    recipe = {key: values["train"][key] for key in values["train"] if key not in MACHINE_DEPENDENT}
    assert recipe == {
        "architecture": "resnet18",
        "weights": "imagenet",
        "weights_sha256": None,
        "allow_leaky_weights": False,
        "epochs": 5,
        "early_stopping_patience": None,
        "selection_metric": "accuracy",
        "batch_size": 32,
        "gradient_accumulation_steps": 1,
        "image_size": 224,
        "progressive_resizing_start": 1.0,
        "eval_size_ratio": 1.0,
        "frozen_backbone_epochs": 0,
        "optimizer": {
            "name": "adam",
            "learning_rate": 1e-4,
            "head_lr_multiplier": 1.0,
            "layerwise_lr_decay": 1.0,
            "weight_decay": 0.0,
            "max_grad_norm": None,
        },
        "schedule": {"name": "constant", "warmup_fraction": 0.0},
        "augmentation": NO_AUGMENTATION,
        "label_smoothing": 0.0,
        "class_balance": "none",
        "decision": "auto",
        "fusion": "late",
        "metadata_dropout": 0.3,
        "conformal_coverage": 0.9,
        "referral_accuracy": 0.9,
        "ema_decay": None,
        "test_time_augmentation": "none",
        "unknown_score": {"method": "mahalanobis", "flagged_fraction": 0.05},
        "precision": "float32",
        "memory_format": "contiguous",
        "compile": False,
    }


def test_nodes_receive_each_parameter_group_as_its_model(project):
    """A node with an annotation that cannot be imported would get an unvalidated dict."""
    everything = sum((pipelines[name] for name in [*STAGES, *OTHERS]), Pipeline([]))
    found = TypeExtractor({"all": everything}).extract_types_from_pipelines()
    requested = {name for name in everything.inputs() if name.startswith("params:")}
    groups = {name: field.annotation for name, field in Parameters.model_fields.items()}
    assert {name.removeprefix("params:") for name in requested} == set(groups)
    assert found == groups


def test_kedro_resolves_every_annotation_of_a_node(project):
    """Nodes import their types at runtime, also the types of pixel store, checkpoints and model."""
    for node in [node for name in [*STAGES, *OTHERS] for node in pipelines[name].nodes]:
        hints = get_type_hints(node.func)
        parameters = inspect.signature(node.func).parameters
        assert hints.keys() == {*parameters, "return"}, node.name
        assert Any not in hints.values(), node.name


def test_tags_select_the_figures_and_the_nodes_that_run_the_network(project):
    default = pipelines["__default__"]
    figures = default.only_nodes_with_tags("figures").outputs()
    assert figures == {figure.name for figure in FIGURES}
    network = {node.name for node in default.only_nodes_with_tags("network").nodes}
    assert network == {
        *("train.fit", "train.calibrate", "evaluate.predict", "evaluate.measure_robustness"),
        "evaluate.explain",
    }
    assert {tag for node in default.nodes for tag in node.tags} == {"figures", "network"}


def test_hooks_use_the_names_of_existing_nodes(project):
    names = {node.name for node in pipelines["__default__"].nodes}
    assert {ingest.READ_SOURCE, train.FIT} <= names


def test_default_pipeline_has_six_stages_in_namespaces_of_the_same_name(project):
    assert {node.namespace for node in pipelines["__default__"].nodes} == set(STAGES)
    assert all(
        node.name.startswith(f"{name}.")
        for name in [*STAGES, *OTHERS]
        for node in pipelines[name].nodes
    )


def test_pipelines_outside_the_default_one_are_registered(project):
    assert set(pipelines) == {"__default__", *STAGES, *OTHERS}


def test_data_sets_have_a_layer_and_tables_figures_and_metrics_a_preview(project, tmp_path):
    with KedroSession.create(project, runtime_params={"data_root": str(tmp_path)}) as session:
        catalog = session.load_context().catalog
    used = {n for name in [*STAGES, *OTHERS] for n in pipelines[name].datasets()}
    names = {n for n in used if not n.startswith("param")}
    entries = {name: catalog[name] for name in names}
    assert all(entry.metadata["kedro-viz"]["layer"] for entry in entries.values())
    without_preview = {name for name, entry in entries.items() if not hasattr(entry, "preview")}
    assert without_preview == {
        *("uncalibrated_model", "annotated_images", "report", "model_card"),
        "comparison_page",
        *("stored_predictions", "stored_comparisons", "stored_external_metrics"),
        *("stored_raw_images", "stored_localizers", "stored_localizations"),
    }
