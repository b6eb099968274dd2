"""Paths of runs that start in another folder than that of the project."""

import shutil
from pathlib import Path

import pytest
import yaml
from kedro.framework.session import KedroSession

from skin_lesions.core.errors import InputError
from skin_lesions.settings import CONFIG_LOADER_ARGS, ProjectConfigLoader
from support.factories import class_folders, table, write_files
from support.study import Study

SMALL = {
    "ingest": {"stored_image_size": 32},
    "train": {"weights": "none", "image_size": 32, "eval_size_ratio": 1.0},
}


@pytest.fixture
def copied_project(project, tmp_path, monkeypatch):
    """A project with the configuration of this one, and images; the run starts in a subfolder."""
    folder = tmp_path / "project"
    shutil.copytree(project / "conf", folder / "conf")
    shutil.copy(project / "pyproject.toml", folder)
    write_files(folder / "images", class_folders("nevus", "melanoma", each=2))
    table(folder / "lesions.csv", [{"file": "nevus/0.jpg", "lesion_id": "L1"}])
    (folder / "notebooks").mkdir()
    monkeypatch.chdir(folder / "notebooks")
    return folder


def test_run_in_a_subfolder_reads_and_writes_below_the_project(copied_project):
    source = {"folder": "images", "metadata": "lesions.csv"}
    Study(copied_project, "data/mine", "folder", source=source, **SMALL).run("ingest")
    assert list((copied_project / "notebooks").iterdir()) == []
    for written in ("01_raw/objects", "01_raw/raw_images", "05_model_input/pixel_store"):
        assert (copied_project / "data" / "mine" / written).is_dir()


@pytest.mark.parametrize("data_root", ["data/mine", "~/mine"])
def test_every_data_set_is_in_the_data_root(copied_project, monkeypatch, data_root):
    """This includes paths with other names than ``filepath``, which Kedro leaves relative."""
    monkeypatch.setenv("HOME", str(copied_project / "data"))
    monkeypatch.setenv("USERPROFILE", str(copied_project / "data"))
    written = yaml.safe_load((copied_project / "conf/base/catalog.yml").read_text())
    params = {"data_root": data_root}
    with KedroSession.create(copied_project, env="folder", runtime_params=params) as session:
        resolved = session.load_context().config_loader["catalog"]
    root = copied_project / "data" / "mine"
    for name in resolved.keys() - {"uncalibrated_model", "annotated_images"}:
        # ``file`` is relative to the folder of each external set.
        keys = [key for key, text in texts(written[name]).items() if "/" in text and key != "file"]
        assert keys, name
        found = texts(resolved[name])
        assert all(Path(found[key]).is_relative_to(root) for key in keys), name


def texts(entry: dict) -> dict[str, str]:
    """Return the texts of a catalog entry and of the data set that it wraps, by key."""
    inner = entry.get("dataset", {})
    return {key: value for key, value in {**inner, **entry}.items() if isinstance(value, str)}


def test_data_root_in_a_parameter_file_is_used_for_all_data_sets_and_the_lock(copied_project):
    (copied_project / "conf" / "folder" / "parameters_location.yml").write_text(
        "data_root: other\n"
    )
    params = {"source": {"folder": "images"}, **SMALL}
    with KedroSession.create(copied_project, env="folder", runtime_params=params) as session:
        session.run(pipeline_names=["ingest"])
    assert (copied_project / "other" / ".lock.owner").exists()
    assert (copied_project / "other" / "01_raw" / "objects").is_dir()
    assert not (copied_project / "data").exists()


def test_context_without_hooks_has_the_same_paths(copied_project):
    """Kedro-Viz creates the catalog without the hooks of the project."""
    loader = ProjectConfigLoader(str(copied_project / "conf"), **CONFIG_LOADER_ARGS)
    assert loader["catalog"]["raw_images"]["objects"] == str(
        copied_project / "data/demo/01_raw/objects"
    )


def test_configuration_of_another_folder_does_not_move_the_paths(project, copied_project):
    """``--conf-source`` selects a configuration, not a project."""
    conf = str(project / "conf")
    with KedroSession.create(copied_project, conf_source=conf) as session:
        loader = session.load_context().config_loader
    assert loader["parameters"]["data_root"] == str(copied_project / "data/demo")
    assert loader["catalog"]["raw_images"]["objects"] == str(
        copied_project / "data/demo/01_raw/objects"
    )


def link(path, target):
    path.symlink_to(target, target_is_directory=True)
    return path


@pytest.mark.parametrize(
    ("folder", "data_root"),
    [
        ("images", "images/results"),
        ("images", "images"),
        ("images", "notebooks/../images/results"),
        ("linked_images", "images/results"),
        ("images", "linked_images/results"),
        ("with_link", "images/results"),
    ],
)
def test_data_root_inside_the_source_folder_is_rejected(copied_project, folder, data_root):
    """The second run would otherwise read the raw images of the first."""
    link(copied_project / "linked_images", copied_project / "images")
    write_files(copied_project / "with_link", class_folders("nevus", each=2))
    link(copied_project / "with_link" / "more", copied_project / "images")
    study = Study(copied_project, data_root, "folder", source={"folder": folder}, **SMALL)
    with pytest.raises(InputError, match="Expected separate folders"):
        study.run("ingest")
    assert not (copied_project / "images" / "results").exists()


@pytest.mark.parametrize("folder", ["data/images", "linked_images", "data/../data/images"])
def test_source_folder_inside_the_data_root_is_rejected(copied_project, folder):
    write_files(copied_project / "data" / "images", class_folders("nevus", each=2))
    link(copied_project / "linked_images", copied_project / "data" / "images")
    study = Study(copied_project, "data", "folder", source={"folder": folder}, **SMALL)
    with pytest.raises(InputError, match="is inside the data root"):
        study.run("ingest")


def test_data_root_beside_the_source_folder_is_accepted_twice(copied_project):
    study = Study(copied_project, "images_results", "folder", source={"folder": "images"}, **SMALL)
    study.run("ingest")
    study.run("ingest")
    assert len(study.table("image_table")) == 4
