import hashlib
import io
import os

import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.provenance import Origin
from skin_lesions.data.raw_store import ObjectStore, RawImages, store_files
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.base import SourceFiles
from support.factories import jpeg_files, source, write_files

ORIGIN = Origin(kind="demo", seed=0)
FILES = jpeg_files(["mel/1.jpg", "mel/2.jpg", "nv/3.jpg"]) | {
    "nv/copy.jpg": b"same",
    "nv/of.jpg": b"same",
}


@pytest.fixture
def files(tmp_path):
    return open_source(source(folder=write_files(tmp_path / "source", FILES)))


@pytest.fixture
def store(tmp_path):
    return ObjectStore(tmp_path / "objects")


def objects(store):
    return {path.name: path for path in store.folder.rglob("*") if path.is_file()}


def test_distinct_files_are_stored_once_under_their_sha256(files, store):
    manifest = store_files(files, store).set_index("file")
    sha256 = {file: hashlib.sha256(data).hexdigest() for file, data in FILES.items()}
    assert manifest["image_id"].to_dict() == sha256
    assert set(objects(store)) == set(sha256.values())
    assert {i: store.get(i) for i in sha256.values()} == {sha256[f]: d for f, d in FILES.items()}
    assert manifest["bytes"].to_dict() == {file: len(data) for file, data in FILES.items()}


def test_image_ids_are_distinct_and_in_the_order_of_their_files(files, store):
    images = RawImages(store_files(files, store), store, files.origin)
    assert len(images.image_ids) == 4
    assert images.image_ids[0] == hashlib.sha256(FILES["mel/1.jpg"]).hexdigest()


def test_stored_files_are_read_only_and_their_folders_are_writable(files, store):
    store_files(files, store)
    assert {path.stat().st_mode & 0o777 for path in objects(store).values()} == {0o444}
    assert all(path.parent.stat().st_mode & 0o700 == 0o700 for path in objects(store).values())


def test_on_stored_is_called_after_each_image_is_stored(files, store):
    received = {}

    def on_stored(image_id, data):
        assert store.get(image_id) == data
        received[image_id] = data

    store_files(files, store, on_stored)
    assert set(received.values()) == set(FILES.values())


def test_a_second_ingest_of_the_same_files_writes_nothing(files, store, caplog):
    caplog.set_level("INFO")
    first = store_files(files, store)
    before = {name: path.stat().st_mtime_ns for name, path in objects(store).items()}
    second = store_files(files, store)
    assert {name: path.stat().st_mtime_ns for name, path in objects(store).items()} == before
    pd.testing.assert_frame_equal(first, second)
    assert [r.getMessage().rpartition(": ")[2] for r in caplog.records] == [
        "4 new files stored",
        "0 new files stored",
    ]


def test_a_changed_file_is_stored_in_addition_to_the_old_one(files, store, tmp_path):
    old = store_files(files, store)
    (tmp_path / "source/mel/1.jpg").write_bytes(b"new")
    store_files(files, store)
    assert len(objects(store)) == 5
    assert store.get(old["image_id"][0]) == FILES["mel/1.jpg"]


def test_exact_duplicates_stored_by_two_threads_count_as_one_new_file(
    files, store, monkeypatch, caplog
):
    caplog.set_level("INFO")
    # As if each thread found no stored file and stored it.
    monkeypatch.setattr(
        ObjectStore, "put", lambda self, data: (hashlib.sha256(data).hexdigest(), True)
    )
    store_files(files, store)
    assert "5 files" in caplog.text
    assert "4 new files stored" in caplog.text
    assert "hash" not in caplog.text  # of no use to a reader


def test_a_file_that_cannot_be_opened_is_reported_and_the_others_are_stored(store):
    def read(file):
        if file == "locked":
            raise PermissionError(13, "Permission denied", file)
        return file.encode()

    table = pd.DataFrame({"file": ["a", "locked", "b"], "label": "x"})
    manifest = store_files(SourceFiles(table, read, ORIGIN), store)
    assert manifest["problem"].dropna().to_dict() == {1: "could not be opened: Permission denied"}
    assert manifest["image_id"].isna().tolist() == [False, True, False]
    assert RawImages(manifest, store, ORIGIN).image_ids == manifest["image_id"].dropna().tolist()


@pytest.mark.parametrize("position", [0, -1])
def test_a_changed_byte_is_detected_and_restored_by_the_next_ingest(files, store, position, caplog):
    image_id = store_files(files, store)["image_id"][0]
    path = store.path(image_id)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=f"{path} has changed .* kedro run --pipelines ingest"):
        store.get(image_id)
    store_files(files, store)
    assert f"Raw image {path.name} was damaged in the store and was restored" in caplog.text
    assert store.get(image_id) == FILES["mel/1.jpg"]


@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_missing_bytes_are_detected_and_restored_by_the_next_ingest(files, store, damage):
    image_id = store_files(files, store)["image_id"][0]
    path = store.path(image_id)
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:-1] if damage == "cut" else b"")
    with pytest.raises(InputError, match=str(path)):
        store.get(image_id)
    store_files(files, store)
    assert store.get(image_id) == FILES["mel/1.jpg"]


def test_opened_file_has_the_bytes_and_a_missing_one_is_an_error_with_a_fix(files, store):
    image_id = store_files(files, store)["image_id"][0]
    with store.open(image_id) as file:
        assert file.read() == FILES["mel/1.jpg"]
    store.path(image_id).unlink()
    with pytest.raises(InputError, match="is missing.* kedro run --pipelines ingest"):
        store.open(image_id)
    store.path(image_id).mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        store.open(image_id)


def test_a_disk_that_takes_only_a_part_of_a_file_is_full(store, monkeypatch):
    class AlmostFull(io.FileIO):
        def write(self, data):
            return super().write(data[:1])

    monkeypatch.setattr(os, "fdopen", lambda descriptor, *_, **__: AlmostFull(descriptor, "wb"))
    with pytest.raises(OSError, match="No space left"):
        store.put(b"complete")
    assert objects(store) == {}


def test_a_full_disk_leaves_no_incomplete_file(files, store, monkeypatch):
    def full(path, data):
        path.write_bytes(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("skin_lesions.data.raw_store._write_read_only", full)
        with pytest.raises(OSError, match="No space left"):
            store_files(files, store)
    assert objects(store) == {}
    store_files(files, store)
    assert len(objects(store)) == 4
