import numpy as np
import pytest
from kedro.io import DatasetError
from kedro.io.core import Version

from skin_lesions.data.decoding import decode
from skin_lesions.data.pixel_store import IngestRequest, PixelStore
from skin_lesions.data.sources import open_source
from skin_lesions.data.sources.base import SourceFiles
from skin_lesions.datasets import RawImagesDataset
from support.factories import pictures, source, written

FILES = pictures(["mel/1.jpg", "nv/2.jpg"])


@pytest.fixture
def files(tmp_path):
    return open_source(source(folder=written(tmp_path / "source", FILES)))


@pytest.fixture
def dataset(tmp_path):
    def at(load=None, save=None):
        return RawImagesDataset(
            filepath=str(tmp_path / "raw_images/manifest.parquet"),
            objects=str(tmp_path / "objects"),
            pixel_store=str(tmp_path / "pixels"),
            version=Version(load, save),
        )

    return at


def test_what_was_saved_is_loaded_with_its_version_and_origin(dataset, files, tmp_path):
    dataset(save="v1").save(IngestRequest(files, 16))
    images = dataset().load()
    assert images.table["file"].tolist() == list(FILES)
    assert images.table["label"].tolist() == ["mel", "nv"]
    assert [images.store.get(i) for i in images.image_ids] == list(FILES.values())
    assert images.table.attrs["version"] == "v1"
    assert images.table.attrs["origin"]["folder"] == str(tmp_path / "source")


def test_saving_decodes_what_it_stores_once(dataset, files, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        "skin_lesions.data.pixel_store.decode",
        lambda data, size: decoded.append(data) or decode(data, size),
    )
    dataset(save="v1").save(IngestRequest(files, 16))
    dataset(save="v2").save(IngestRequest(files, 16))
    assert sorted(decoded) == sorted(FILES.values())
    images, raw = PixelStore(tmp_path / "pixels").at(16), dataset().load()
    for image_id in raw.image_ids:
        expected = decode(raw.store.get(image_id), 16).pixels
        np.testing.assert_array_equal(images[image_id], expected)


def test_an_older_version_still_has_its_bytes(dataset, files, tmp_path):
    dataset(save="v1").save(IngestRequest(files, 16))
    (tmp_path / "source/mel/1.jpg").write_bytes(b"another picture")
    dataset(save="v2").save(IngestRequest(files, 16))
    first = dataset(load="v1").load()
    assert first.store.get(first.image_ids[0]) == FILES["mel/1.jpg"]
    newest = dataset().load()
    assert newest.store.get(newest.image_ids[0]) == b"another picture"
    assert sum(path.is_file() for path in (tmp_path / "objects").rglob("*")) == 3


def test_a_run_stopped_while_copying_leaves_no_version(dataset, files):
    def stopped(file):
        if file == "nv/2.jpg":
            raise KeyboardInterrupt
        return files.read(file)

    with pytest.raises(KeyboardInterrupt):
        dataset(save="v1").save(IngestRequest(SourceFiles(files.table, stopped, files.origin), 16))
    assert not dataset().exists()
    with pytest.raises(DatasetError):
        dataset().load()


def test_names_that_no_table_likes_come_back_as_they_were(tmp_path, dataset):
    names = [
        "mel/日本 [1] 'q\".jpg",
        "mel/new\nline.jpg",
        "mel/NA",
        "mel/no suffix",
        "mel/caf\\xe9",
    ]
    found = open_source(source(folder=written(tmp_path / "source", pictures(names))))
    dataset(save="v1").save(IngestRequest(found, 16))
    assert dataset().load().table["file"].tolist() == sorted(names)


def test_the_preview_shows_the_first_files(dataset, files):
    dataset(save="v1").save(IngestRequest(files, 16))
    preview = dataset().preview(nrows=1)
    assert len(preview["data"]) == 1
    assert preview["columns"][0] == "file"
