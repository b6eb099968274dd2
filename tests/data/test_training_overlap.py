import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.data.decoding import decode
from skin_lesions.data.groups import group_images
from skin_lesions.data.pixel_store import PixelStore, open_for_append
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from skin_lesions.data.training_overlap import (
    locate_training_images,
    overlapping_images,
    search_near_duplicates,
)

SEED, SIZE = 5, 128


def drawings(n, skip=0):
    """Draw images of different patients."""
    table = synthetic_table(SEED)
    table = table[table["planted"].isna() & table["patient_id"].notna()]
    files = table.drop_duplicates("patient_id")["file"].tolist()[skip : skip + n]
    return [render_file(file, SEED) for file in files]


def changed(jpeg, operation):
    """Re-encode an image after a change."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        operation(image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def flipped(jpeg):
    return changed(jpeg, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def cropped(jpeg):
    def crop(image):
        width, height = image.size
        return image.crop((width // 8, height // 8, width, height)).resize((width, height))

    return changed(jpeg, crop)


def overlap(train, val, external, tmp_path, *, keep=("originals", "squares")):
    """Find the overlap; ``keep`` are the forms of training images on this machine."""
    own, store = ObjectStore(tmp_path / "own"), ObjectStore(tmp_path / "training")
    ids = {id(data): own.put(data)[0] for data in external}
    pixels = PixelStore(tmp_path / "pixels").at(SIZE)
    known = []
    with open_for_append(pixels) as writer:
        for data in (*train, *val):
            image_id = ObjectStore(tmp_path / "all").put(data)[0]
            known.append(image_id)
            if "originals" in keep:
                store.put(data)
            if "squares" in keep:
                writer.add(image_id, decode(data, SIZE))
    pixels = PixelStore(tmp_path / "pixels").at(SIZE)
    training = locate_training_images(known[: len(train)], known[len(train) :], store, pixels)
    table = pd.DataFrame(
        {"file": [f"{i}.jpg" for i in range(len(external))], "image_id": list(ids.values())}
    )
    within, across = search_near_duplicates(table["image_id"].unique().tolist(), own, training)
    groups, _ = group_images(table, within)
    return overlapping_images(table, groups, across, training.splits), training


@pytest.mark.parametrize("keep", [("originals", "squares"), ("squares",)])
def test_exact_and_changed_copies_are_found_and_no_other_image(tmp_path, keep):
    train, val, others = drawings(12), drawings(4, skip=12), drawings(10, skip=16)
    external = [*others, train[3], flipped(train[5]), cropped(train[7]), val[1], flipped(val[2])]
    found, training = overlap(train, val, external, tmp_path, keep=keep)
    assert [(image.file, image.training_split) for image in found] == [
        ("10.jpg", "train"),
        ("11.jpg", "train"),
        ("12.jpg", "train"),
        ("13.jpg", "val"),
        ("14.jpg", "val"),
    ]
    kinds = {image.file: image.kind for image in found}
    assert kinds["10.jpg"] == kinds["13.jpg"] == "image_id"
    assert "image_id" not in {kinds["11.jpg"], kinds["12.jpg"], kinds["14.jpg"]}
    originals = [image.training_image_id for image in found]
    ids = [*training.splits]
    splits = list(training.splits.values())
    assert originals[0] == found[0].image_id
    assert splits[ids.index(originals[1])] == "train"
    assert len(training.image_ids) == 16


def test_without_training_images_only_exact_copies_are_found(tmp_path):
    train, val = drawings(6), drawings(2, skip=6)
    external = [*drawings(4, skip=8), train[0], flipped(train[1])]
    found, training = overlap(train, val, external, tmp_path, keep=())
    assert [image.file for image in found] == ["4.jpg"]
    assert training.image_ids == ()


def test_other_images_of_the_group_of_a_copy_are_listed():
    table = pd.DataFrame(
        {"file": list("abcd"), "image_id": list("ABCD"), "lesion_id": ["1", "1", "2", "2"]}
    )
    groups, _ = group_images(table)
    pairs = pd.DataFrame(
        {
            "image_id": ["A", "A"],
            "training_image_id": ["T2", "T1"],
            "kind": ["near_duplicate_transformed", "near_duplicate_simple"],
            "strength": [0.9, 0.95],
        }
    )
    found = overlapping_images(table, groups, pairs, {"T1": "val", "T2": "train", "X": "train"})
    assert [(image.file, image.kind, image.training_image_id) for image in found] == [
        ("a", "near_duplicate_simple", "T1"),
        ("b", "same_group", "T1"),
    ]
    assert {image.training_split for image in found} == {"val"}


def test_equal_bytes_take_precedence_over_near_duplicates():
    table = pd.DataFrame({"file": ["a", "b"], "image_id": ["T1", "B"]})
    groups = table.assign(group_id=["1", "2"])
    pairs = pd.DataFrame(
        {
            "image_id": ["T1"],
            "training_image_id": ["T2"],
            "kind": ["identical_pixels"],
            "strength": [1.0],
        }
    )
    (only,) = overlapping_images(table, groups, pairs, {"T1": "train", "T2": "train"})
    assert (only.kind, only.training_image_id) == ("image_id", "T1")


def test_image_without_a_readable_square_is_not_compared(tmp_path):
    pixels = PixelStore(tmp_path).at(SIZE)
    with open_for_append(pixels) as writer:
        writer.add_unreadable("bad", "damaged")
        writer.add("good", decode(drawings(1)[0], SIZE))
    store = ObjectStore(tmp_path / "raw")
    training = locate_training_images(
        ["bad", "good", "absent"], [], store, PixelStore(tmp_path).at(SIZE)
    )
    assert (training.originals, training.squares) == ((), ("good",))
    assert len(training.splits) == 3
    assert np.asarray(training.pixels.subset(training.squares)[0]).shape == (SIZE, SIZE, 3)
