import numpy as np
import pytest
import torch

from imagesets import blobs, square_images
from skin_lesions.batches import labelled_images
from skin_lesions.errors import InputError
from skin_lesions.preprocessing import Preprocessing


@pytest.fixture
def images(tmp_path):
    pixels, table = blobs(21, size=8)
    stored = square_images(tmp_path / "pixels", pixels)
    preprocessing = Preprocessing("squash", 8, 8)
    return pixels, labelled_images(table, ["green", "red"], stored, preprocessing)


def test_in_order_gives_every_image_with_its_label(images):
    pixels, labelled = images
    batches = list(labelled.in_order(4))
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 4, 4, 1]
    together = torch.cat([batch for batch, _ in batches])
    np.testing.assert_array_equal(together.permute(0, 2, 3, 1).numpy(), pixels)
    assert torch.cat([labels for _, labels in batches]).tolist() == [i % 2 for i in range(21)]


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(images):
    pixels, labelled = images

    def order(seed, epoch):
        seen = torch.cat([batch for batch, _ in labelled.shuffled(4, seed, epoch)])
        rows = seen.permute(0, 2, 3, 1).reshape(len(seen), -1).numpy()
        stored = pixels.reshape(len(pixels), -1)
        return [int(np.flatnonzero((stored == row).all(axis=1))[0]) for row in rows]

    assert sorted(order(0, 1)) == list(range(21))
    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 7, 10, 20, 21, 22])
def test_no_batch_has_a_single_image_unless_asked_for(images, batch_size):
    _, labelled = images
    sizes = [len(labels) for _, labels in labelled.shuffled(batch_size, 0, 1)]
    assert sum(sizes) == 21
    assert min(sizes) > 1 or batch_size == 1


def test_images_that_were_never_decoded_are_named_with_the_remedy(images, tmp_path):
    _, table = blobs(3, size=8)
    stored = square_images(tmp_path / "other", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"2 of 3 images.*kedro run --pipelines ingest"):
        labelled_images(table, ["green", "red"], stored, Preprocessing("squash", 8, 8))
