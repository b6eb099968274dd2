"""Local configuration, and the runners of Kedro."""

import shutil

import pytest
from kedro.config import MissingConfigException
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.runner import ParallelRunner, ThreadRunner

from skin_lesions.core.errors import InputError
from skin_lesions.settings import CONFIG_LOADER_ARGS, ProjectConfigLoader
from support.factories import class_folders, write_files


@pytest.fixture
def conf(project, tmp_path):
    """A copy of conf/ with an empty folder local."""
    shutil.copytree(project / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "conf" / "local").mkdir()
    return tmp_path / "conf"


def loader(conf, env=None, **params):
    return ProjectConfigLoader(str(conf), env=env, runtime_params=params, **CONFIG_LOADER_ARGS)


def test_project_uses_its_own_loader(project):
    assert settings.CONFIG_LOADER_CLASS is ProjectConfigLoader


@pytest.mark.parametrize(("env", "kind"), [(None, "demo"), ("folder", "folder")])
def test_local_parameters_override_each_environment(conf, env, kind):
    (conf / "local" / "parameters.yml").write_text("train: {epochs: 3}")
    parameters = loader(conf, env)["parameters"]
    assert parameters["train"]["epochs"] == 3
    assert parameters["train"]["batch_size"] == 32
    assert parameters["source"]["kind"] == kind


def test_params_of_the_command_line_override_local_parameters(conf):
    (conf / "local" / "parameters.yml").write_text("train: {epochs: 3, seed: 4}")
    parameters = loader(conf, train={"epochs": 5})["parameters"]
    assert (parameters["train"]["epochs"], parameters["train"]["seed"]) == (5, 4)


def test_local_data_root_and_catalog_entry_are_used(conf, project):
    (conf / "local" / "globals.yml").write_text("data_root: /elsewhere")
    (conf / "local" / "catalog.yml").write_text("metrics: {type: MemoryDataset}")
    with KedroSession.create(project, conf_source=str(conf)) as session:
        catalog = session.load_context().config_loader["catalog"]
    assert catalog["metrics"] == {"type": "MemoryDataset"}
    assert catalog["model"]["filepath"] == "/elsewhere/06_models/model.pth"


def test_local_credentials_are_read(conf):
    """There are no others, and Kedro would report that as missing."""
    (conf / "local" / "credentials.yml").write_text("store: {key: abc}")
    assert loader(conf)["credentials"] == {"store": {"key": "abc"}}


def test_configuration_without_a_local_folder_is_complete(conf):
    (conf / "local").rmdir()
    with pytest.raises(MissingConfigException):
        loader(conf)["credentials"]
    assert loader(conf)["parameters"]["train"]["epochs"] == 16


def run(project, tmp_path, runner, pipelines):
    params = {
        "data_root": str(tmp_path / "data"),
        "source": {"folder": str(tmp_path / "images")},
        "ingest": {"stored_image_size": 32},
        "audit": {"bootstrap_replicates": 100},
        "train": {
            "architecture": "shufflenet_v2_x0_5",
            "weights": "none",
            "epochs": 1,
            "image_size": 32,
            "eval_size_ratio": 1.0,
            "device": "cpu",
        },
    }
    with KedroSession.create(project, env="folder", runtime_params=params) as session:
        session.run(pipeline_names=pipelines, runner=runner)


@pytest.mark.slow
def test_thread_runner_is_supported(project, tmp_path):
    write_files(tmp_path / "images", class_folders("nevus", "melanoma", each=20))
    run(project, tmp_path, ThreadRunner(), ["ingest", "audit", "preprocess", "train"])
    assert list((tmp_path / "data" / "06_models" / "model.pth").glob("*/model.pth"))


def test_parallel_runner_is_rejected_before_the_first_node(project, tmp_path):
    """Kedro would report that 18 data sets are not serializable."""
    write_files(tmp_path / "images", class_folders("nevus", "melanoma", each=1))
    with pytest.raises(InputError, match="ParallelRunner is not supported.*ThreadRunner"):
        run(project, tmp_path, ParallelRunner(), ["ingest"])
    assert not (tmp_path / "data").exists()
