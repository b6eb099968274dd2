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

from kedro.framework.startup import bootstrap_project

from skin_lesions.data.pixel_store import PixelStore
from support.imagesets import blobs, square_images
from support.study import Study

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


# In the background of a script Ctrl-C is ignored, by the commands that tests start too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project() -> Path:
    bootstrap_project(ROOT)
    return ROOT


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
    "ingest": {"stored_image_size": 64},
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
