import numpy as np
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import (
    build_dataset,
    sequential_batches,
    shuffled_batches,
    steps_per_epoch,
)
from skin_lesions.data.preprocessing import Preprocessing
from support.imagesets import blobs, square_images


@pytest.fixture
def images(tmp_path):
    pixels, table = blobs(21, size=8)
    stored = square_images(tmp_path / "pixels", pixels)
    preprocessing = Preprocessing("stretch", 8, 8)
    return pixels, build_dataset(table, ["green", "red"], stored, preprocessing)


def test_in_order_gives_every_image_with_its_label(images):
    pixels, labelled = images
    batches = list(labelled.iter_batches(sequential_batches(21, 4), torch.device("cpu")))
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 4, 4, 1]
    together = torch.cat([batch for batch, _ in batches])
    np.testing.assert_array_equal(together.permute(0, 2, 3, 1).numpy(), pixels)
    assert torch.cat([labels for _, labels in batches]).tolist() == [i % 2 for i in range(21)]


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(images):
    pixels, labelled = images

    def order(seed, epoch):
        batches = labelled.iter_batches(shuffled_batches(21, 4, seed, epoch), torch.device("cpu"))
        seen = torch.cat([batch for batch, _ in batches])
        rows = seen.permute(0, 2, 3, 1).reshape(len(seen), -1).numpy()
        stored = pixels.reshape(len(pixels), -1)
        return [int(np.flatnonzero((stored == row).all(axis=1))[0]) for row in rows]

    assert sorted(order(0, 1)) == list(range(21))
    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 7, 10, 20, 21, 22])
def test_no_batch_has_a_single_image_unless_asked_for(batch_size):
    sizes = [len(chosen) for chosen in shuffled_batches(21, batch_size, 0, 1)]
    assert sum(sizes) == 21
    assert len(sizes) == steps_per_epoch(21, batch_size)
    assert min(sizes) > 1 or batch_size == 1


def test_images_that_were_never_decoded_are_named_with_the_remedy(images, tmp_path):
    _, table = blobs(3, size=8)
    stored = square_images(tmp_path / "other", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"2 of 3 images.*kedro run --pipelines ingest"):
        build_dataset(table, ["green", "red"], stored, Preprocessing("stretch", 8, 8))


def test_another_size_gives_the_same_images_at_that_size(images):
    _, labelled = images
    batch, _ = labelled.with_image_size(4).batch(np.arange(3))
    assert batch.shape == (3, 3, 4, 4)
    whole, _ = labelled.batch(np.arange(3))
    assert batch.float().mean() == pytest.approx(whole.float().mean().item(), abs=1)


def test_an_image_is_shown_as_often_as_its_share_rounded_up_or_down():
    shares = np.repeat([1.0, 3.0, 0.5], [60, 10, 20])  # sums to 100, shown 90 times in all
    for epoch in range(1, 20):
        shown = np.bincount(np.concatenate(shuffled_batches(90, 7, 0, epoch, shares)), minlength=90)
        expected = 0.9 * shares
        assert (shown >= np.floor(expected)).all()
        assert (shown <= np.ceil(expected)).all()
        assert shown.sum() == 90


def test_over_many_epochs_every_image_comes_its_share_of_times():
    shares = np.repeat([1.0, 3.0, 0.5], [60, 10, 20])
    epochs = [np.concatenate(shuffled_batches(90, 7, 0, epoch, shares)) for epoch in range(1, 400)]
    shown = np.bincount(np.concatenate(epochs), minlength=90) / len(epochs)
    np.testing.assert_allclose(shown, 0.9 * shares, atol=0.12)


def test_a_gpu_gets_the_same_batches_in_the_same_order(images):
    """The way of a GPU, with threads that read ahead; ``meta`` is the one device that is always there."""
    _, labelled = images
    chosen = shuffled_batches(21, 4, 0, 1)
    fetched = list(labelled.iter_batches(chosen, torch.device("meta")))
    assert [tuple(batch.shape) for batch, _ in fetched] == [(len(c), 3, 8, 8) for c in chosen]
    assert all(batch.device.type == "meta" for batch, _ in fetched)
