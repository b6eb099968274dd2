"""The server of the page: only local, without telemetry, and without files that remain."""

import importlib.util
import os
import signal
import socket
import tempfile
from pathlib import Path

import httpx
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.app import server
from skin_lesions.deployment.app.analysis import MAX_FILE_BYTES
from support.app_process import started_page
from support.color_predictor import image_file

requires_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra app is not installed"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    # Settings that would make the page public, if the command did not ignore them.
    settings = {
        "GRADIO_SHARE": "True",
        "GRADIO_ALLOWED_PATHS": "/",
        "GRADIO_SERVER_NAME": "0.0.0.0",
    }
    with started_page(tmp_path_factory.mktemp("page"), **settings) as started:
        yield started


def upload(page, data, **headers):
    return httpx.post(
        f"{page.url}gradio_api/upload", files={"files": ("a.png", data)}, headers=headers
    )


@requires_gradio
def test_uploads_are_in_a_private_folder(page):
    [path] = upload(page, image_file()).json()
    [folder] = page.temporary.iterdir()
    assert Path(path).is_relative_to(folder)
    assert folder.stat().st_mode & 0o077 == 0


@requires_gradio
def test_upload_that_would_fill_the_disk_is_stopped(page):
    response = upload(page, bytes(4 * MAX_FILE_BYTES + 1))
    assert response.status_code == 413
    sizes = [path.stat().st_size for path in page.temporary.rglob("*") if path.is_file()]
    assert max(sizes, default=0) < MAX_FILE_BYTES


@requires_gradio
def test_only_this_computer_has_access(page):
    port = int(page.url.rpartition(":")[2].strip("/"))
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))  # another address of this computer
    assert upload(page, b"x", Origin="https://attacker.example").status_code == 403
    assert upload(page, b"x", Host="attacker.example").status_code == 403


@requires_gradio
def test_files_of_this_computer_are_not_served(page):
    secret = page.temporary.parent / "secret.txt"
    secret.write_text("secret")
    for path in (secret, Path("/etc/hosts"), Path(server.__file__)):
        assert httpx.get(f"{page.url}gradio_api/file={path}").status_code in (403, 404)


@requires_gradio
def test_interface_for_programs_is_closed(page):
    endpoints = httpx.get(f"{page.url}gradio_api/info").json()
    assert endpoints == {"named_endpoints": {}, "unnamed_endpoints": {}}
    for path in ("docs", "redoc", "openapi.json"):
        assert httpx.get(f"{page.url}{path}").status_code == 404
    assert "usage" not in httpx.get(f"{page.url}monitoring").text


@requires_gradio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_page_stops_at_a_signal_and_leaves_no_files(tmp_path, number):
    with started_page(tmp_path) as page:
        upload(page, image_file())
        assert any(path.is_file() for path in page.temporary.rglob("*"))
        status, output = page.stop(number)
    assert (status, output.strip()) == (
        0,
        "The page has stopped, and its temporary files were deleted",
    )
    assert list(page.temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [page.temporary]


def test_process_is_private_within_the_block_and_restored_after_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    before, temporary = dict(os.environ), tempfile.gettempdir()
    with server._private_process(str(tmp_path)):
        assert "GRADIO_ALLOWED_PATHS" not in os.environ
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert os.environ["GRADIO_TEMP_DIR"] == tempfile.gettempdir() == str(tmp_path)
    assert dict(os.environ) == before
    assert tempfile.gettempdir() == temporary


def test_missing_gradio_is_reported_with_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "skin-lesions\[app\]"'):
        server.require_gradio()
