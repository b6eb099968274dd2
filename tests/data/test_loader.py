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
from skin_lesions.data.preprocessing_settings import Preprocessing
from support.imagesets import blobs, square_images


@pytest.fixture
def images(tmp_path):
    pixels, table = blobs(21, size=8)
    stored = square_images(tmp_path / "pixels", pixels)
    preprocessing = Preprocessing("stretch", 8, 8)
    return pixels, build_dataset(table, ["green", "red"], stored, preprocessing)


def test_sequential_batches_return_every_image_with_its_label(images):
    pixels, dataset = images
    batches = list(dataset.iter_batches(sequential_batches(21, 4), torch.device("cpu")))
    assert [len(labels) for _, labels in batches] == [4, 4, 4, 4, 4, 1]
    loaded = torch.cat([batch for batch, _ in batches])
    np.testing.assert_array_equal(loaded.permute(0, 2, 3, 1).numpy(), pixels)
    assert torch.cat([labels for _, labels in batches]).tolist() == [i % 2 for i in range(21)]


def test_batch_has_the_images_and_labels_at_its_positions(images):
    pixels, dataset = images
    positions = np.array([3, 0, 7, 2])
    batch, labels = dataset.get_batch(positions)
    np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), pixels[positions])
    assert labels.tolist() == [1, 0, 1, 0]


def test_each_epoch_contains_every_image_once_in_its_own_order(images):
    pixels, dataset = images

    def order(seed, epoch):
        batches = dataset.iter_batches(shuffled_batches(21, 4, seed, epoch), torch.device("cpu"))
        loaded = torch.cat([batch for batch, _ in batches])
        rows = loaded.permute(0, 2, 3, 1).reshape(len(loaded), -1).numpy()
        stored = pixels.reshape(len(pixels), -1)
        return [int(np.flatnonzero((stored == row).all(axis=1))[0]) for row in rows]

    assert sorted(order(0, 1)) == list(range(21))
    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 7, 10, 20, 21, 22])
def test_no_batch_has_a_single_image_unless_the_batch_size_is_one(batch_size):
    sizes = [len(positions) for positions in shuffled_batches(21, batch_size, 0, 1)]
    assert sum(sizes) == 21
    assert len(sizes) == steps_per_epoch(21, batch_size)
    assert min(sizes) > 1 or batch_size == 1


def test_error_for_images_that_are_not_decoded_contains_the_fix(images, tmp_path):
    _, table = blobs(3, size=8)
    stored = square_images(tmp_path / "other", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"2 of 3 images.*kedro run --pipelines ingest"):
        build_dataset(table, ["green", "red"], stored, Preprocessing("stretch", 8, 8))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_batches_with_an_image_whose_stored_pixels_have_changed_are_an_error(
    images, tmp_path, device
):
    _, dataset = images
    pixels = tmp_path / "pixels/images.bin"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"?")
    batches = dataset.iter_batches(sequential_batches(21, 4), torch.device(device))
    with pytest.raises(InputError, match=r"1 of 21 stored images are damaged.*Image ids: image20"):
        list(batches)


def test_each_image_is_cropped_by_its_own_aspect_ratio(tmp_path):
    """The red value of a pixel is its column, green its row, and blue the number of the image."""
    size, sizes = 60, [(120, 60), (60, 120), (90, 60), (60, 60), (60, 90)]
    pixels = np.zeros((len(sizes), size, size, 3), np.uint8)
    pixels[..., 0] = np.arange(size)
    pixels[..., 1] = np.arange(size)[:, None]
    pixels[..., 2] = 10 * np.arange(len(sizes))[:, None, None]
    stored = square_images(tmp_path, pixels, sizes)
    _, table = blobs(len(sizes))
    preprocessing = Preprocessing("center_crop", size, size)
    dataset = build_dataset(table, ["green", "red"], stored, preprocessing)
    cropped_columns = {0: (15, 45), 1: (0, 60), 2: (10, 50), 3: (0, 60), 4: (0, 60)}
    cropped_rows = {0: (0, 60), 1: (15, 45), 2: (0, 60), 3: (0, 60), 4: (10, 50)}

    def assert_cropped(batch, numbers):
        for image, number in zip(batch.int(), numbers, strict=True):
            assert (image[2] == 10 * number).all()
            for channel, (start, stop) in ((0, cropped_columns[number]), (1, cropped_rows[number])):
                assert abs(image[channel].min() - start) <= 1
                assert abs(image[channel].max() - (stop - 1)) <= 1

    order = np.array([3, 0, 4, 1, 2])
    assert_cropped(dataset.get_batch(order)[0], order)
    (batch, _), *_ = dataset.iter_batches([order], torch.device("cpu"))
    assert_cropped(batch, order)
    assert_cropped(dataset.subset(slice(1, 5, 2)).get_batch(np.array([1, 0]))[0], [3, 1])


def test_with_image_size_returns_the_same_images_at_that_size(images):
    _, dataset = images
    batch, _ = dataset.with_image_size(4).get_batch(np.arange(3))
    assert batch.shape == (3, 3, 4, 4)
    original, _ = dataset.get_batch(np.arange(3))
    assert batch.float().mean() == pytest.approx(original.float().mean().item(), abs=1)


def test_images_occur_in_proportion_to_their_weight_rounded_up_or_down():
    weights = np.repeat([1.0, 3.0, 0.5], [60, 10, 20])  # sums to 100; 90 positions per epoch
    for epoch in range(1, 20):
        counts = np.bincount(
            np.concatenate(shuffled_batches(90, 7, 0, epoch, weights)), minlength=90
        )
        expected = 0.9 * weights
        assert (counts >= np.floor(expected)).all()
        assert (counts <= np.ceil(expected)).all()
        assert counts.sum() == 90


def test_mean_occurrence_over_many_epochs_is_proportional_to_the_weight():
    weights = np.repeat([1.0, 3.0, 0.5], [60, 10, 20])
    epochs = [np.concatenate(shuffled_batches(90, 7, 0, epoch, weights)) for epoch in range(1, 400)]
    counts = np.bincount(np.concatenate(epochs), minlength=90) / len(epochs)
    np.testing.assert_allclose(counts, 0.9 * weights, atol=0.12)


def test_reading_ahead_for_a_gpu_returns_the_batches_in_order(images):
    """Test the path for GPUs, where threads read ahead; the device ``meta`` is always available."""
    _, dataset = images
    positions = shuffled_batches(21, 4, 0, 1)
    loaded = list(dataset.iter_batches(positions, torch.device("meta")))
    assert [tuple(batch.shape) for batch, _ in loaded] == [(len(c), 3, 8, 8) for c in positions]
    assert all(batch.device.type == "meta" for batch, _ in loaded)


def test_crops_around_lesions_stay_with_their_images(tmp_path):
    pixels, table = blobs(6, size=8)
    stored = square_images(tmp_path / "pixels", pixels)
    corners = np.array([(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (1, 3)])
    boxes = np.hstack([corners, corners + 4]) / 8
    preprocessing = Preprocessing("stretch", 8, 4, lesion_margin=0)
    dataset = build_dataset(table, ["green", "red"], stored, preprocessing, boxes=boxes)
    part = dataset.subset(slice(1, 6))
    batch, _ = part.get_batch(np.array([4, 0]))
    for image, number in zip(batch.permute(0, 2, 3, 1).numpy(), (5, 1), strict=True):
        x, y = corners[number]
        np.testing.assert_array_equal(image, pixels[number, y : y + 4, x : x + 4])
    with pytest.raises(ValueError, match="requires its box"):
        build_dataset(table, ["green", "red"], stored, preprocessing).get_batch(np.array([0]))
