"""A server on this machine that answers as Kaggle does, and fails as asked.

It knows one data set: GetDataset tells its newest version and licence, DownloadDataset sends on
to a store, and the store serves archives in ranges, with their checksum.
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


def zip_of(members: Mapping[str, bytes]) -> bytes:
    """Pack members under exactly these names, whatever they are."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@dataclass
class KaggleServer:
    """What the server holds, how it fails, and what it was asked.

    ``versions`` maps version numbers to archives. Failures: ``status`` gives a request (by its
    name, or ``store``) a status other than 200; each entry of ``cut_after`` cuts one download
    after so many bytes; ``damaged`` flips a byte of each archive; ``silent`` never answers.
    """

    dataset: str
    versions: dict[int, bytes]
    license: str = "CC0: Public Domain"
    status: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    damaged: bool = False
    with_checksum: bool = True
    silent: bool = False
    mount: str | None = None
    log_in_page: bool = False
    asked: list[str] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    url: str = ""

    def count(self, name: str) -> int:
        return sum(line.split()[0] == name for line in self.asked)


@contextmanager
def serving(server: KaggleServer) -> Iterator[KaggleServer]:
    """Serve until the block ends, at ``server.url``."""
    stop = threading.Event()
    handler = type("Handler", (_Handler,), {"kaggle": server, "stop": stop})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    kaggle: KaggleServer
    stop: threading.Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rpartition("/")[2]
        self.kaggle.authorizations.add(self.headers["Authorization"])
        self.kaggle.asked.append(f"{name} {json.dumps(body, sort_keys=True)}")
        if self.kaggle.silent:
            self.stop.wait()
            return
        answers = {
            "/v1/datasets.DatasetApiService/GetDataset": self._page,
            "/v1/datasets.DatasetApiService/DownloadDataset": self._send_on,
            "/kaggle-jwt-handler/AttachDatasourceUsingJwtRequest": self._attach,
        }
        if self.kaggle.log_in_page:
            self._answer(200, b"<html>Log in to this network</html>", "text/html")
        elif name in self.kaggle.status:
            self._refuse(self.kaggle.status[name])
        elif self.path in answers:
            answers[self.path](body)
        else:
            self._refuse(404)

    def do_GET(self) -> None:
        asked_range = self.headers["Range"] or "all"
        self.kaggle.asked.append(f"store {self.path.partition('?')[0]} {asked_range}")
        if "store" in self.kaggle.status:
            self._refuse(self.kaggle.status["store"])
            return
        data = self.kaggle.versions[int(self.path.split("/")[2])]
        start = int(asked_range.removeprefix("bytes=").rstrip("-")) if asked_range != "all" else 0
        checksum = base64.b64encode(hashlib.md5(data).digest()).decode()
        if self.kaggle.damaged:
            data = data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.kaggle.with_checksum:
            self.send_header("x-goog-hash", f"crc32c=n03x6A==,md5={checksum}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self._write(data[start:], whole=start == 0)

    def _write(self, data: bytes, whole: bool) -> None:
        """Send the data; cut the connection if so asked.

        A download that goes on opens the whole archive once more and drops it: that is let be.
        """
        goes_on = whole and self.kaggle.count("store") > 1 and self.kaggle.cut_after
        if self.kaggle.cut_after and not goes_on:
            data = data[: self.kaggle.cut_after.pop(0)]
        try:
            self.wfile.write(data)
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _page(self, body: dict) -> None:
        if f"{body.get('ownerSlug')}/{body.get('datasetSlug')}" != self.kaggle.dataset:
            self._refuse(403)
            return
        page = {"id": 7, "ref": self.kaggle.dataset, "licenseName": self.kaggle.license}
        if self.kaggle.versions:
            page["currentVersionNumber"] = max(self.kaggle.versions)
        self._answer(200, json.dumps(page).encode())

    def _send_on(self, body: dict) -> None:
        version = body["datasetVersionNumber"]
        if version not in self.kaggle.versions:
            self._refuse(404)
            return
        self.send_response(302)
        self.send_header("Location", f"{self.kaggle.url}/store/{version}/archive.zip?Signature=x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _attach(self, body: dict) -> None:
        result = {"mountSlug": self.kaggle.mount, "versionNumber": max(self.kaggle.versions)}
        self._answer(200, json.dumps({"wasSuccessful": True, "result": result}).encode())

    def _refuse(self, status: int) -> None:
        message = "Permission 'datasets.get' was denied" if status == 403 else f"status {status}"
        body = json.dumps({"code": status, "message": message}).encode()
        self._answer(status, body)

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in self.kaggle.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""
