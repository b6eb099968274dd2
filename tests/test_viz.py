"""Kedro-Viz in a real browser: graph, previews, and the static site of ``kedro viz build``."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from skin_lesions.reporting.figures.registry import FIGURES
from support.browsers import CHROMIUM
from support.processes import stop_group

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

LAYERS = ["raw", "model_input", "intermediate", "primary", "models", "model_output", "reporting"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def viz(demo_run, tmp_path_factory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("viz") / "log"
    port = _free_port()
    command = [sys.executable, "-m", "kedro", "viz", "run", "--no-browser", "--port", str(port)]
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [*command, "--params", f"data_root={demo_run.data_root}"],
            cwd=demo_run.project,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/api/main", server, log)
        yield url
    finally:
        stop_group(server)


def _free_port() -> int:
    """Find a free port; Kedro-Viz rejects ports above 49151."""
    for port in random.sample(range(20_000, 30_000), 50):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("50 ports out of 50 are in use")


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(url).read()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def page(viz, browser) -> Iterator["playwright.Page"]:
    with browser.new_page(viewport={"width": 1700, "height": 1000}) as page:
        page.goto(viz)
        page.locator(".pipeline-node").first.wait_for(timeout=60_000)
        _close_the_tour(page)
        yield page


def _close_the_tour(page: "playwright.Page") -> None:
    for text in ("Dismiss", "Close"):
        button = page.get_by_text(text, exact=True)
        if button.count():
            button.first.click()
    cross = page.locator("[class*=feature-hints] [class*=close], [aria-label='Close icon']")
    if cross.count():
        cross.first.click()


def _open(page: "playwright.Page", viz: str, name: str) -> None:
    nodes = page.request.get(f"{viz}/api/main").json()["nodes"]
    node = next(n["id"] for n in nodes if n["name"] == name and n["type"] == "data")
    page.goto(f"{viz}/?pid=__default__&sid={node}&expandAllPipelines=true")
    page.locator(".pipeline-metadata").wait_for(timeout=30_000)


def test_graph_shows_the_six_pipelines_and_their_layers(page):
    names = page.locator(".pipeline-node").all_text_contents()
    assert {"ingest", "audit", "preprocess", "train", "evaluate", "report"} <= set(names)
    layers = page.locator(".pipeline-layer-name").all_inner_texts()
    assert layers == LAYERS


def test_figure_has_an_image_preview(page, viz):
    _open(page, viz, "confusion_matrix")
    image = page.locator(".pipeline-metadata img").first
    image.wait_for(timeout=30_000)
    assert image.evaluate("image => image.complete && image.naturalWidth") > 500


def test_metrics_have_a_preview(page, viz):
    _open(page, viz, "metrics")
    panel = page.locator(".pipeline-metadata")
    panel.get_by_text("balanced_accuracy").first.wait_for(timeout=30_000)


@pytest.fixture(scope="module")
def static_site(demo_run, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """Build the static site in a copy of the project, and serve it: its folder and its URL."""
    project = tmp_path_factory.mktemp("static") / "project"
    for folder in ("conf", "src"):
        shutil.copytree(demo_run.project / folder, project / folder)
    shutil.copy(demo_run.project / "pyproject.toml", project)
    (project / "data").mkdir()
    (project / "data" / "demo").symlink_to(demo_run.data_root, target_is_directory=True)
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    # Coverage would count the copied source files as other files.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, timeout=240
    )
    site = project / "build"
    handler = partial(_QuietHandler, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield site, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Stay silent."""


def test_static_site_has_a_preview_of_each_figure_table_and_metrics_file(static_site):
    site, _ = static_site
    nodes = json.loads((site / "api" / "main").read_text(encoding="utf-8"))["nodes"]
    previews = {}
    for node in nodes:
        if node["type"] == "data":
            details = json.loads((site / "api" / "nodes" / node["id"]).read_text(encoding="utf-8"))
            if details.get("preview"):
                previews[node["name"]] = details["preview_type"]
    assert {figure.name for figure in FIGURES} <= {
        name for name, kind in previews.items() if kind == "ImagePreview"
    }
    assert {"metrics", "audit_findings"} <= {
        name for name, kind in previews.items() if kind == "JSONPreview"
    }
    data = {node["name"] for node in nodes if node["type"] == "data"}
    without = {
        "uncalibrated_model",
        "report",
        "model_card",
        "stored_comparisons",
        "stored_external_metrics",
        "stored_localizations",
    }
    assert data - previews.keys() == without


def test_static_site_shows_the_pipelines_and_a_figure_without_a_kedro_server(static_site, browser):
    _, url = static_site
    requests, errors = [], []
    with browser.new_page(viewport={"width": 1700, "height": 1000}) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfinished", lambda request: requests.append(request.url))
        page.goto(url)
        page.locator(".pipeline-node").first.wait_for(timeout=60_000)
        names = page.locator(".pipeline-node").all_text_contents()
        assert {"ingest", "audit", "preprocess", "train", "evaluate", "report"} <= set(names)
        _close_the_tour(page)
        _open(page, url, "confusion_matrix")
        image = page.locator(".pipeline-metadata img").first
        image.wait_for(timeout=30_000)
        assert image.evaluate("image => image.complete && image.naturalWidth") > 500
    loaded = [request for request in requests if not request.startswith(("data:", "blob:"))]
    assert all(request.startswith(url) for request in loaded)
    assert errors == []
