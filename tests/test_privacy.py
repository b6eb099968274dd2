"""Results and logs contain no secrets and no paths of the machine."""

import hashlib
import logging
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest
import torch

from skin_lesions.models.networks import build_network
from support.factories import class_folders, table, write_files

SECRET, PRIVATE = "Secret7Token", "PrivateFolder7"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def private_folder(tmp_path, monkeypatch):
    """A folder of images, a metadata table and a broken link with a private path."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / PRIVATE
    write_files(folder / "mine", class_folders("nevus", "melanoma", each=20))
    (folder / "mine" / "nevus" / "broken.jpg").symlink_to(folder / "missing.jpg")
    table(folder / "lesions.csv", [{"file": "nevus/0.jpg", "lesion_id": "L1"}])
    return folder


@pytest.fixture
def weights_url(private_folder):
    """The URL of a weights file, with a secret token."""
    network = build_network("shufflenet_v2_x0_5", 2)
    torch.save(network.state_dict(), private_folder / "start.pth")
    handler = partial(QuietHandler, directory=private_folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/start.pth?token={SECRET}"
        server.shutdown()
        thread.join()


def content_of(path):
    """Return the bytes of a file, and also the decompressed content of a Parquet file."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        frame = pq.read_table(path, partitioning=None)
        content += f"{frame.schema.metadata}{frame.to_pandas().to_csv()}".encode()
    return content


def test_secrets_and_absolute_paths_are_in_no_result_and_in_no_log_message(
    study, private_folder, weights_url, caplog, capfd
):
    caplog.set_level(logging.INFO)
    sha256 = hashlib.sha256((private_folder / "start.pth").read_bytes()).hexdigest()
    run = study(
        env="folder",
        source={
            "folder": str(private_folder / "mine"),
            "metadata": str(private_folder / "lesions.csv"),
        },
        ingest={"stored_image_size": 64, "max_unreadable_fraction": 0.5},
        train={
            "architecture": "shufflenet_v2_x0_5",
            "weights": weights_url,
            "weights_sha256": sha256,
            "epochs": 1,
            "image_size": 32,
            "device": "cpu",
        },
        evaluate={"device": "cpu"},
    )
    run.run()

    model = run.load("model")
    assert model.recipe["weights"] == weights_url.partition("?")[0]
    assert model.provenance.origin.folder == "mine"
    assert model.provenance.origin.metadata == ("lesions.csv",)
    assert run.load("quarantine")["reason"].str.contains("missing.jpg does not exist").any()

    contents = {p: content_of(p) for p in run.data_root.rglob("*") if p.is_file()}
    for private in (SECRET, PRIVATE, str(run.data_root.parent)):
        assert [p.name for p, data in contents.items() if private.encode() in data] == []
    logged = caplog.text + "".join(capfd.readouterr())
    assert "Training started: shufflenet_v2_x0_5 (weights: http://127.0.0.1" in logged
    assert SECRET not in logged
    assert PRIVATE not in logged
