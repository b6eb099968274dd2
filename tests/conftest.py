"""Fixtures shared by all tests: the real project, run in this process."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pandas as pd
import pytest

# Claims are about results; how long an example takes on a busy machine says nothing.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Before kedro is imported anywhere: no test asks the network for anything.
os.environ["DO_NOT_TRACK"] = "1"

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from imagesets import blobs, square_images
from skin_lesions.pixels import PixelStore

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


# In the background of a script Ctrl-C is ignored, by the commands that tests start too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project() -> Path:
    bootstrap_project(ROOT)
    return ROOT


class Study:
    """One data root, and the real project run in it."""

    def __init__(self, project: Path, data_root: Path, env: str = "demo", **params: Any):
        self.project, self.data_root, self.env, self.params = project, data_root, env, params

    def run(
        self,
        *pipelines: str,
        load_versions: dict[str, str] | None = None,
        from_nodes: list[str] | None = None,
        **params: Any,
    ) -> None:
        """Run pipelines (default: all six); parameters as ``train={"epochs": 1}``."""
        with self._session(params) as session:
            session.run(
                pipeline_names=list(pipelines), load_versions=load_versions, from_nodes=from_nodes
            )

    def load(self, name: str, version: str | None = None) -> Any:
        """Load a data set, its newest version or the one named."""
        return self.catalog({name: version} if version else None).load(name)

    def catalog(self, load_versions: dict[str, str] | None = None) -> DataCatalog:
        with self._session({}) as session:
            context = session.load_context()
            return context._get_catalog(load_versions=load_versions)

    def versions(self, name: str) -> list[str]:
        """List the versions of a data set, the oldest first."""
        return sorted(self.catalog()[name].list_versions(full_path=False))

    def _session(self, params: dict[str, Any]) -> KedroSession:
        merged = _merged({"data_root": str(self.data_root)}, self.params, params)
        return KedroSession.create(project_path=self.project, env=self.env, runtime_params=merged)


def _merged(*layers: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _merged(merged[key], value) if both else value
    return merged


@pytest.fixture
def study(project: Path, tmp_path: Path) -> Callable[..., Study]:
    """Make a study in a fresh data root: ``study(source={"kind": "folder", ...})``."""
    return lambda env="demo", **params: Study(project, tmp_path / "data", env, **params)


@pytest.fixture
def kedro_run(project: Path, tmp_path: Path) -> Callable[..., Study]:
    """Run the real project on ``params`` in a fresh data root; return the study to look into."""

    def run(*, pipelines: list[str] | None = None, env: str = "demo", **params: Any) -> Study:
        study = Study(project, tmp_path / "data", env, **params)
        study.run(*(pipelines or []))
        return study

    return run


@pytest.fixture
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the real images for development are not on this machine")
    return SHARED_DATA


@pytest.fixture
def stored(tmp_path: Path) -> tuple[PixelStore, pd.DataFrame]:
    """Store 60 images of two classes that differ in colour; with their split table."""
    pixels, table = blobs(60)
    square_images(PixelStore(tmp_path).at(32).folder, pixels)
    return PixelStore(tmp_path), table


# Small enough for a test, and still the whole way.
QUICK = {
    "ingest": {"pixel_size": 64},
    "train": {"epochs": 1, "image_size": 32, "device": "cpu"},
    "evaluate": {"bootstrap_replicates": 100, "device": "cpu"},
}


@pytest.fixture(scope="session")
def demo_run(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The demo, run once, the whole way. Read-only: take ``demo_copy`` to go on from it."""
    study = Study(project, tmp_path_factory.mktemp("demo"), "demo", **QUICK)
    study.run()
    return study


@pytest.fixture
def demo_copy(demo_run: Study, tmp_path: Path) -> Study:
    """What the demo left behind, to run more in."""
    shutil.copytree(demo_run.data_root, tmp_path / "data")
    return Study(demo_run.project, tmp_path / "data", "demo", **QUICK)
