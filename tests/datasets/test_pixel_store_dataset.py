import json

import numpy as np
import pandas as pd

from skin_lesions.data.decoding import decode
from skin_lesions.data.pixel_store import DecodeRequest
from skin_lesions.data.provenance import Origin
from skin_lesions.data.raw_store import ObjectStore, RawImages
from skin_lesions.datasets import PixelStoreDataset
from support.factories import jpeg


def raw_images(folder, seeds):
    store = ObjectStore(folder)
    ids = [store.put(jpeg(seed))[0] for seed in seeds]
    return RawImages(pd.DataFrame({"image_id": ids}), store, Origin(kind="demo", seed=0))


def test_saving_decodes_images_and_loading_opens_the_store(tmp_path):
    dataset = PixelStoreDataset(filepath=str(tmp_path / "pixels"))
    assert not dataset.exists()
    images = raw_images(tmp_path / "objects", range(3))
    dataset.save(DecodeRequest(images, 16))
    assert dataset.exists()
    for seed, image_id in enumerate(images.image_ids):
        expected = decode(jpeg(seed), 16).pixels
        np.testing.assert_array_equal(dataset.load().at(16)[image_id], expected)


def test_saving_other_images_keeps_the_older_ones(tmp_path):
    dataset = PixelStoreDataset(filepath=str(tmp_path / "pixels"))
    old, new = (raw_images(tmp_path / "objects", seeds) for seeds in ([1, 2], [2, 3]))
    dataset.save(DecodeRequest(old, 16))
    rows = dataset.load().at(16).rows(old.image_ids).tolist()
    dataset.save(DecodeRequest(new, 16))
    assert sorted(rows) == [0, 1]
    assert dataset.load().at(16).rows(old.image_ids).tolist() == rows
    assert dataset.load().at(16).rows(new.image_ids).tolist() == [rows[1], 2]
    assert json.loads(dataset.preview()) == {"images": {"16px-v2": 3}}
