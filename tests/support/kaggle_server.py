"""A local HTTP server with the API of Kaggle and configurable failures.

It has one data set. GetDataset returns its newest version. DownloadDataset redirects to a store.
The store serves archives, supports range requests, and sends a checksum.
"""

import base64
import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from kagglesdk import kaggle_env

# kagglehub has no setting for the address of Kaggle. Only the tests replace this private table.
_ENDPOINTS = kaggle_env._env_to_endpoint

# ``kedro`` as a script: python -c REDIRECTED_KEDRO <url> <arguments of kedro>
REDIRECTED_KEDRO = """
import sys
from kagglesdk import kaggle_env
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = sys.argv.pop(1)
sys.argv[0] = "kedro"
from kedro.framework.cli import main
main()
"""


def redirect_kaggle(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Send the requests of kagglehub to this address."""
    monkeypatch.setitem(_ENDPOINTS, kaggle_env.KaggleEnv.PROD, url)


def make_zip(members: Mapping[str, bytes]) -> bytes:
    """Create a ZIP archive with exactly these member names, even invalid ones."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def random_bytes(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@dataclass
class KaggleServer:
    """Content of the server, its failures, and a record of the requests.

    ``versions`` maps version numbers to archives. ``requests`` lists the requests.

    Failures: ``status`` sets the HTTP status of a request (by its name, or ``store``). Each entry
    of ``cut_after`` interrupts one download after this number of bytes. ``damaged`` flips a bit of
    each archive. ``login_page`` responds with HTML instead of JSON.
    """

    dataset: str
    versions: dict[int, bytes]
    status: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    damaged: bool = False
    mount: str | None = None
    login_page: bool = False
    requests: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    url: str = ""

    def count(self, name: str) -> int:
        return sum(line.split()[0] == name for line in self.requests)


@contextmanager
def serving(server: KaggleServer) -> Iterator[KaggleServer]:
    """Serve at ``server.url`` until the block ends."""
    handler = type("Handler", (_Handler,), {"kaggle": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    kaggle: KaggleServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rpartition("/")[2]
        self.kaggle.authorizations.add(self.headers["Authorization"])
        self.kaggle.requests.append(f"{name} {json.dumps(body, sort_keys=True)}")
        responses = {
            "/v1/datasets.DatasetApiService/GetDataset": self._page,
            "/v1/datasets.DatasetApiService/DownloadDataset": self._redirect,
            "/kaggle-jwt-handler/AttachDatasourceUsingJwtRequest": self._mount,
        }
        if self.kaggle.login_page:
            self._send(200, b"<html>Log in to this network</html>", "text/html")
        elif name in self.kaggle.status:
            self._send_error(self.kaggle.status[name])
        elif self.path in responses:
            responses[self.path](body)
        else:
            self._send_error(404)

    def do_GET(self) -> None:
        byte_range = self.headers["Range"] or "all"
        self.kaggle.requests.append(f"store {self.path.partition('?')[0]} {byte_range}")
        if "store" in self.kaggle.status:
            self._send_error(self.kaggle.status["store"])
            return
        data = self.kaggle.versions[int(self.path.split("/")[2])]
        start = int(byte_range.removeprefix("bytes=").rstrip("-")) if byte_range != "all" else 0
        checksum = base64.b64encode(hashlib.md5(data).digest()).decode()
        if self.kaggle.damaged:
            data = data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("x-goog-hash", f"crc32c=n03x6A==,md5={checksum}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._write(data[start:], is_complete=start == 0)

    def _write(self, data: bytes, *, is_complete: bool) -> None:
        """Send the data, or only a part of it if ``cut_after`` is set.

        To resume a download, kagglehub first requests the complete archive and drops it. This
        request is not interrupted.
        """
        is_dropped = is_complete and self.kaggle.count("store") > 1 and self.kaggle.cut_after
        if self.kaggle.cut_after and not is_dropped:
            data = data[: self.kaggle.cut_after.pop(0)]
        try:
            self.wfile.write(data)
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _page(self, body: dict) -> None:
        if f"{body.get('ownerSlug')}/{body.get('datasetSlug')}" != self.kaggle.dataset:
            self._send_error(403)
            return
        page = {"id": 7, "ref": self.kaggle.dataset}
        if self.kaggle.versions:
            page["currentVersionNumber"] = max(self.kaggle.versions)
        self._send(200, json.dumps(page).encode())

    def _redirect(self, body: dict) -> None:
        version = body["datasetVersionNumber"]
        if version not in self.kaggle.versions:
            self._send_error(404)
            return
        self.send_response(302)
        self.send_header("Location", f"{self.kaggle.url}/store/{version}/archive.zip?Signature=x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _mount(self, body: dict) -> None:
        result = {"mountSlug": self.kaggle.mount, "versionNumber": max(self.kaggle.versions)}
        self._send(200, json.dumps({"wasSuccessful": True, "result": result}).encode())

    def _send_error(self, status: int) -> None:
        message = "Permission 'datasets.get' was denied" if status == 403 else f"status {status}"
        body = json.dumps({"code": status, "message": message}).encode()
        self._send(status, body)

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in self.kaggle.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""
