"""Weights files from a cache, a local server or a path: each is the expected file."""

import contextlib
import errno
import gzip
import hashlib
import io
import itertools
import os
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from skin_lesions.models import downloads, networks
from skin_lesions.models.downloads import DownloadLimits
from skin_lesions.models.model_file import write_model
from skin_lesions.models.networks import build_network, create_network
from skin_lesions.models.weights import resolve_weights
from support.disks import small_disk
from support.models import trained_model


def weights_bytes(value=0.5):
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((20_000,), value)}, buffer)
    return buffer.getvalue()


WEIGHTS = weights_bytes()
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
NAME = f"net-{SHA256[:8]}.pth"


class Server(ThreadingHTTPServer):
    """Returns ``body`` for every path.

    ``cut`` is the number of bytes before it disconnects, ``delay`` the time before it responds,
    ``redirects`` maps paths to other URLs, and ``headers`` are sent with the body. An ``endless``
    body is repeated until the client disconnects.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.status, self.requests = WEIGHTS, None, 200, []
        self.delay, self.redirects, self.headers, self.endless = 0.0, {}, {}, False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        time.sleep(self.server.delay)
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
            return
        self.send_response(self.server.status)
        length = {} if self.server.endless else {"Content-Length": str(len(self.server.body))}
        for name, value in (length | self.server.headers).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client may close the connection early
            self.wfile.write(self.server.body[: self.server.cut])
            while self.server.endless:
                self.wfile.write(self.server.body)

    def log_message(self, *args):
        """Stay silent."""


@contextmanager
def serving():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Return the empty download folder of torch."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server():
    with serving() as server:
        yield server


def cached_files(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def error_message(*arguments, **options):
    with pytest.raises(InputError) as error:
        resolve_weights(*arguments, **options)
    assert " at 0x" not in str(error.value)  # no Python object in the message
    return str(error.value)


def initial_network(architecture, weights, classes=("a", "b"), image_size=32):
    return create_network(
        architecture=architecture,
        weights=str(weights),
        weights_sha256=None,
        classes=classes,
        image_sizes=[image_size],
        seed=0,
    )


def imagenet_resnet():
    return initial_network("resnet18", "imagenet")


def test_file_is_downloaded_once(server, cache):
    url = f"{server.url}/{NAME}"
    first, second = (resolve_weights(url, None, hash_in_filename=True) for _ in range(2))
    assert first == second
    assert (first.path, first.sha256) == (cache / NAME, SHA256)  # the path that torch uses too
    assert first.path.read_bytes() == WEIGHTS
    assert server.requests == [f"/{NAME}"]


def test_cached_file_of_another_program_is_used_without_a_network(cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(WEIGHTS)
    assert (
        resolve_weights(f"https://nowhere.invalid/{NAME}", None, hash_in_filename=True).sha256
        == SHA256
    )


def test_cached_file_that_does_not_match_the_hash_in_its_name_is_rejected(cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(weights_bytes(0.6))
    message = error_message(f"https://nowhere.invalid/{NAME}", None, hash_in_filename=True)
    assert f"expected {SHA256[:8]}..." in message
    assert f"Delete it (rm {cache / NAME})" in message


def test_download_that_does_not_match_the_hash_in_its_name_is_not_saved(server, cache):
    server.body = weights_bytes(0.6)
    message = error_message(f"{server.url}/{NAME}", None, hash_in_filename=True)
    assert (
        f"its sha256 is {hashlib.sha256(server.body).hexdigest()}, expected {SHA256[:8]}" in message
    )
    assert cached_files(cache) == []


def test_download_that_does_not_match_the_given_sha256_is_not_saved(server, cache):
    assert f"expected {'0' * 64}. Nothing was saved" in error_message(
        f"{server.url}/a.pth", "0" * 64
    )
    assert cached_files(cache) == []


def test_incomplete_download_is_not_saved_and_the_next_attempt_downloads_all_of_it(server, cache):
    server.cut = 5000
    message = error_message(f"{server.url}/a.pth", None)
    assert f"the server sent only 5000 of {len(WEIGHTS)} bytes. Run the same command" in message
    assert cached_files(cache) == []
    server.cut = None
    assert resolve_weights(f"{server.url}/a.pth", SHA256).sha256 == SHA256


def test_html_page_in_place_of_a_file_is_not_saved(server, cache):
    server.body = b"<html>Log in to this network</html>"
    assert f"The file from {server.url}/a.pth is not a readable PyTorch file" in error_message(
        f"{server.url}/a.pth", None
    )
    assert cached_files(cache) == []


def test_images_of_an_earlier_model_are_known_if_it_is_downloaded(server, tmp_path):
    write_model(trained_model(train_image_ids=("a", "b")), tmp_path / "model.pth")
    server.body = (tmp_path / "model.pth").read_bytes()
    initial = initial_network("resnet18", f"{server.url}/model.pth")
    assert initial.origin.train_image_ids == ("a", "b")
    assert initial.origin.val_image_ids == ("image2",)


def test_error_status_of_the_server_is_reported(server, cache):
    server.status = 404
    assert "could not be downloaded" in error_message(f"{server.url}/a.pth", None)
    assert "HTTP Error 404: Not Found. Run the same" in error_message(f"{server.url}/a.pth", None)
    assert cached_files(cache) == []


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [
        ("mkdir", PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        ("mkdir", OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        ("open", OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_error_of_a_folder_that_cannot_be_written_names_it_and_its_variable(
    server, cache, monkeypatch, function, error, reason
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Path, function, fail)
    message = error_message(f"{server.url}/a.pth", None)
    assert f"Weights cannot be saved in {cache}: {reason}. Free some space there" in message
    assert "environment variable TORCH_HOME" in message
    assert "data_root" not in message


def test_full_disk_of_the_cache_is_reported_with_its_variable(server, tmp_path, monkeypatch):
    with small_disk(tmp_path / "small", "64k") as disk:
        monkeypatch.setenv("TORCH_HOME", str(disk))
        assert "No space left on device. Free some space there" in error_message(
            f"{server.url}/a.pth", None
        )
        assert cached_files(disk / "hub" / "checkpoints") == []


def test_two_urls_never_use_one_file(server):
    first = resolve_weights(f"{server.url}/one/model.pth", None)
    server.body = weights_bytes(0.6)
    second = resolve_weights(f"{server.url}/two/model.pth", None)
    assert first.path != second.path
    assert first.sha256 != second.sha256


def test_error_without_a_network_has_the_url_the_path_and_the_parameter(cache, monkeypatch):
    with serving() as server:
        url = f"{server.url}/resnet18-f37072fd.pth"  # the server is closed after this block
    monkeypatch.setattr(networks, "_imagenet_url", lambda _: url)
    with pytest.raises(InputError) as error:
        imagenet_resnet()
    message = str(error.value)
    assert f"could not be downloaded from {url}: [Errno" in message
    assert "Connection refused. Run" in message
    assert f"put it at {cache / 'resnet18-f37072fd.pth'}" in message
    assert "--params train.weights=/path/to/the/file" in message
    assert "--params train.weights=none" in message


def test_proxy_that_does_not_respond_is_reported(monkeypatch):
    with serving() as server:
        proxy = server.url
    monkeypatch.delenv("NO_PROXY")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    assert "Connection refused. Run" in error_message("https://nowhere.invalid/a.pth", None)


def test_imagenet_selects_the_file_of_torchvision(cache):
    cache.mkdir(parents=True)
    state = build_network("resnet18", 1000).state_dict()
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    torch.save(state, cache / url.rpartition("/")[2])
    with pytest.raises(InputError, match="expected f37072fd"):
        imagenet_resnet()


def test_imagenet_weights_are_loaded_except_for_the_head(server, cache, monkeypatch):
    state = build_network("resnet18", 1000).state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    server.body = buffer.getvalue()
    digits = hashlib.sha256(server.body).hexdigest()[:8]
    monkeypatch.setattr(networks, "_imagenet_url", lambda _: f"{server.url}/resnet18-{digits}.pth")
    initial = imagenet_resnet()
    assert torch.equal(initial.network.conv1.weight, state["conv1.weight"])
    assert initial.network.fc.weight.shape == (2, 512)
    assert initial.origin.file == f"resnet18-{digits}.pth"


@pytest.mark.parametrize("form", ["{path}", "file://{path}"])
def test_path_and_its_file_url_are_the_same_file(tmp_path, form):
    path = tmp_path / "my weights.pth"
    path.write_bytes(WEIGHTS)
    location = path.as_uri() if "file" in form else str(path)
    assert resolve_weights(location, SHA256).path == path
    assert f"{path} is not the expected file" in error_message(location, "0" * 64)


def test_digits_in_the_name_of_a_local_file_are_not_a_checksum(tmp_path):
    path = tmp_path / "model-20240501.pth"
    path.write_bytes(WEIGHTS)
    assert resolve_weights(str(path), None).sha256 == SHA256


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imagenett", "there is no file .*imagenett. Expected imagenet, none"),
        ("/nowhere/a.pth", "there is no file /nowhere/a.pth"),
        ("file:///nowhere/a.pth", "there is no file /nowhere/a.pth"),
        ("ftp://host/a.pth", "ftp:// is not supported. Expected file://, https://"),
    ],
)
def test_error_of_missing_weights_lists_the_accepted_values(weights, message):
    with pytest.raises(InputError, match=message):
        resolve_weights(weights, None)


def test_real_weights_classify_real_photographs(efficientnet_lite0):
    categories = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    initial = initial_network("timm/tf_efficientnet_lite0", efficientnet_lite0, categories, 224)
    assert initial.origin.head == "loaded"
    assert (initial.mean, initial.std) == ((0.5,) * 3, (0.5,) * 3)
    classified = {}
    for name in ("china.jpg", "flower.jpg"):
        stored = np.array(Image.fromarray(load_sample_image(name)).resize((256, 256)))
        preprocessing = Preprocessing("center_crop", 256, 224, initial.mean, initial.std)
        inputs = normalize_batch(
            resize_batch(stored[None], [640 / 427], preprocessing), preprocessing
        )
        with torch.no_grad():
            logits = initial.network.eval()(inputs)
        classified[name] = categories[int(logits.argmax())]
    assert classified == {"china.jpg": "palace", "flower.jpg": "daisy"}


def features(initial, images):
    """Return the inputs of the head: (n, features)."""
    initial.network.set_submodule("classifier", torch.nn.Identity())
    preprocessing = Preprocessing("stretch", 128, 128, initial.mean, initial.std)
    inputs = normalize_batch(
        resize_batch(images, [1.0] * len(images), preprocessing), preprocessing
    )
    with torch.no_grad():
        return initial.network.eval()(inputs).numpy()


@pytest.mark.slow
def test_features_of_real_weights_are_better_than_those_of_random_weights(efficientnet_lite0):
    """A linear classifier on frozen features, for six lesions of each of 14 diagnoses."""
    table = synthetic_table(0).drop_duplicates("lesion").groupby("label").head(6)
    rendered = [Image.open(io.BytesIO(render_file(file, 0))) for file in table["file"]]
    images = np.stack([np.array(image.resize((128, 128))) for image in rendered])
    accuracy = {}
    for name in (efficientnet_lite0, "none"):
        initial = initial_network("timm/tf_efficientnet_lite0", name, image_size=128)
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        predicted = cross_val_predict(linear, features(initial, images), table["label"], cv=3)
        accuracy[name] = np.mean(predicted == table["label"])
    assert accuracy[efficientnet_lite0] > 0.5 > 0.3 > accuracy["none"]


@pytest.fixture
def https_server(server, monkeypatch):
    """Return a server whose URL begins with https://. The connection is not encrypted."""
    monkeypatch.setattr(
        "urllib.request.HTTPSHandler.https_open",
        lambda handler, request: handler.do_open(HTTPConnection, request),
    )
    server.url = server.url.replace("http://", "https://")
    return server


def test_redirect_from_https_to_http_is_rejected_without_a_sha256(https_server, cache):
    """A file from http:// can be changed in transit, even if the first URL is https://."""
    plain = https_server.url.replace("https://", "http://")
    https_server.redirects["/x.pth"] = f"{plain}/y.pth"
    assert f"redirects to {plain}/y.pth" in error_message(f"{https_server.url}/x.pth", None)
    assert https_server.requests == ["/x.pth"]
    assert cached_files(cache) == []
    assert resolve_weights(f"{https_server.url}/x.pth", SHA256).sha256 == SHA256


def test_redirect_through_http_back_to_https_is_rejected(https_server):
    plain = https_server.url.replace("https://", "http://")
    https_server.redirects = {
        "/x.pth": f"{plain}/y.pth",
        "/y.pth": f"{https_server.url}/z.pth",
    }
    assert f"redirects to {plain}/y.pth" in error_message(f"{https_server.url}/x.pth", None)
    assert https_server.requests == ["/x.pth"]


def test_digits_in_the_filename_do_not_allow_a_redirect_to_http(https_server):
    """A file with the same first eight digits of its sha256 can be made."""
    plain = https_server.url.replace("https://", "http://")
    https_server.redirects[f"/{NAME}"] = f"{plain}/y.pth"
    url = f"{https_server.url}/{NAME}"
    assert f"redirects to {plain}/y.pth" in error_message(url, None, hash_in_filename=True)


def test_redirect_to_another_kind_of_url_is_rejected(server):
    server.redirects["/a.pth"] = "ftp://127.0.0.1/b.pth"
    assert "redirects to ftp://127.0.0.1/b.pth" in error_message(f"{server.url}/a.pth", SHA256)


def test_redirect_between_https_urls_is_followed(https_server):
    https_server.redirects["/first.pth"] = f"{https_server.url}/second.pth"
    assert resolve_weights(f"{https_server.url}/first.pth", None).sha256 == SHA256
    assert https_server.requests == ["/first.pth", "/second.pth"]


def test_redirect_loop_is_reported(server, cache):
    server.redirects = {"/a.pth": "/b.pth", "/b.pth": "/a.pth"}
    message = error_message(f"{server.url}/a.pth", None)
    assert "redirect error that would lead to an infinite loop. Run the same command" in message
    assert cached_files(cache) == []


def test_silent_server_is_reported_after_the_timeout(server):
    server.delay = 1.0
    message = error_message(f"{server.url}/a.pth", None, limits=DownloadLimits(timeout=0.1))
    assert "could not be downloaded" in message
    assert "timed out. Run the same command again" in message


@pytest.mark.parametrize("endless", [True, False])
def test_file_above_the_maximum_size_is_not_saved(server, cache, endless):
    """With Content-Length before the download, otherwise as soon as it is exceeded."""
    server.endless = endless
    limits = DownloadLimits(max_bytes=50_000)
    message = error_message(f"{server.url}/a.pth", None, limits=limits)
    assert f"{server.url}/a.pth has more than 50 kB, the maximum size of a download" in message
    assert "set train.weights to its path" in message
    assert cached_files(cache) == []
    server.endless = False
    limits = DownloadLimits(max_bytes=len(WEIGHTS))
    assert resolve_weights(f"{server.url}/a.pth", None, limits=limits).sha256 == SHA256


def test_slow_server_is_stopped_after_the_maximum_duration(server, cache, monkeypatch):
    """Each part arrives within the timeout, but the clock shows 50 s more for each."""
    server.endless = True
    clock = itertools.count(0, 50)
    monkeypatch.setattr(downloads.time, "monotonic", lambda: next(clock))
    limits = DownloadLimits(max_seconds=200)
    message = error_message(f"{server.url}/a.pth", None, limits=limits)
    assert f"The download of {server.url}/a.pth was stopped after 3 min 20 s, with" in message
    assert cached_files(cache) == []


def test_slow_server_is_checked_after_each_part_that_it_sends(server, monkeypatch):
    """Not after a megabyte, which could take years at one byte per minute."""
    parts = []

    class Dripping(io.BytesIO):
        length, headers = None, {}

        def read1(self, size):
            parts.append(size)
            return b"x"

    monkeypatch.setattr(
        downloads, "build_opener", lambda *_: SimpleNamespace(open=lambda *_, **__: Dripping())
    )
    clock = itertools.count(0, 50)
    monkeypatch.setattr(downloads.time, "monotonic", lambda: next(clock))
    limits = DownloadLimits(max_seconds=200)
    assert "stopped after" in error_message(f"{server.url}/a.pth", None, limits=limits)
    assert len(parts) == 4


def test_compressed_response_is_rejected_and_not_unpacked(server, cache):
    """A few bytes could unpack to more than the disk."""
    server.body, server.headers = gzip.compress(WEIGHTS), {"Content-Encoding": "gzip"}
    message = error_message(f"{server.url}/a.pth", None)
    assert "compresses the file" in message
    assert "(Content-Encoding: gzip). Expected an unchanged file" in message
    assert cached_files(cache) == []


def test_url_with_characters_that_are_not_allowed_is_reported():
    assert "could not be downloaded" in error_message("http://127.0.0.1/ä.pth", None)
    assert "could not be downloaded" in error_message("http://127.0.0.1/a b.pth", None)


def test_download_shows_no_progress_bar_without_a_terminal(server, capfd):
    resolve_weights(f"{server.url}/a.pth", None)
    assert "%" not in capfd.readouterr().err


def test_file_is_hashed_again_only_if_it_changed(tmp_path, monkeypatch):
    hashed = []
    file_digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda *args: hashed.append(1) or file_digest(*args)
    )
    path = tmp_path / "weights.pth"
    path.write_bytes(WEIGHTS)
    first, second = resolve_weights(str(path), None), resolve_weights(str(path), None)
    assert first == second
    assert len(hashed) == 1
    changed = weights_bytes(0.6)
    assert len(changed) == len(WEIGHTS)
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    assert resolve_weights(str(path), None).sha256 == hashlib.sha256(changed).hexdigest()
    assert len(hashed) == 2
