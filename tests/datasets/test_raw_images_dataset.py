import numpy as np
import pytest
from kedro.io import DatasetError
from kedro.io.core import Version

from skin_lesions.data.decoding import decode
from skin_lesions.data.pixel_store import IngestRequest, PixelStore
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.datasets import RawImagesDataset
from support.factories import jpeg_files, source, write_files

FILES = jpeg_files(["mel/1.jpg", "nv/2.jpg"])


@pytest.fixture
def files(tmp_path):
    return open_source(source(folder=write_files(tmp_path / "source", FILES)))


@pytest.fixture
def dataset(tmp_path):
    def at_version(load=None, save=None):
        return RawImagesDataset(
            filepath=str(tmp_path / "raw_images/manifest.parquet"),
            objects=str(tmp_path / "objects"),
            decode_into=str(tmp_path / "pixels"),
            version=Version(load, save),
        )

    return at_version


def test_images_are_loaded_with_their_version_and_origin(dataset, files):
    dataset(save="v1").save(IngestRequest(files, 16))
    images = dataset().load()
    assert images.table["file"].tolist() == list(FILES)
    assert images.table["label"].tolist() == ["mel", "nv"]
    assert [images.store.get(i) for i in images.image_ids] == list(FILES.values())
    assert images.version == "v1"
    assert images.origin.folder == "source"


def test_saving_decodes_each_image_once(dataset, files, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        "skin_lesions.data.decoding.decode",
        lambda data, size: decoded.append(data) or decode(data, size),
    )
    dataset(save="v1").save(IngestRequest(files, 16))
    dataset(save="v2").save(IngestRequest(files, 16))
    assert sorted(decoded) == sorted(FILES.values())
    images, raw = PixelStore(tmp_path / "pixels").at(16), dataset().load()
    for image_id in raw.image_ids:
        expected = decode(raw.store.get(image_id), 16).pixels
        np.testing.assert_array_equal(images[image_id], expected)


def test_older_version_keeps_its_bytes(dataset, files, tmp_path):
    dataset(save="v1").save(IngestRequest(files, 16))
    (tmp_path / "source/mel/1.jpg").write_bytes(b"another image")
    dataset(save="v2").save(IngestRequest(files, 16))
    first = dataset(load="v1").load()
    assert first.store.get(first.image_ids[0]) == FILES["mel/1.jpg"]
    newest = dataset().load()
    assert newest.store.get(newest.image_ids[0]) == b"another image"
    assert sum(path.is_file() for path in (tmp_path / "objects").rglob("*")) == 3


def test_interrupted_save_leaves_no_version(dataset, files):
    def interrupted_read(file):
        if file == "nv/2.jpg":
            raise KeyboardInterrupt
        return files.read(file)

    with pytest.raises(KeyboardInterrupt):
        dataset(save="v1").save(
            IngestRequest(SourceFiles(files.table, interrupted_read, files.origin), 16)
        )
    assert not dataset().exists()
    with pytest.raises(DatasetError):
        dataset().load()


def test_unusual_file_names_are_loaded_unchanged(tmp_path, dataset):
    names = [
        "mel/日本 [1] 'q\".jpg",
        "mel/new\nline.jpg",
        "mel/NA",
        "mel/no suffix",
        "mel/caf\\xe9",
    ]
    found = open_source(source(folder=write_files(tmp_path / "source", jpeg_files(names))))
    dataset(save="v1").save(IngestRequest(found, 16))
    assert dataset().load().table["file"].tolist() == sorted(names)


def test_the_preview_shows_the_first_files(dataset, files):
    dataset(save="v1").save(IngestRequest(files, 16))
    preview = dataset().preview(nrows=1)
    assert len(preview["data"]) == 1
    assert preview["columns"][0] == "file"
