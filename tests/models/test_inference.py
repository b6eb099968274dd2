import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.inference import predict_logits
from support.imagesets import blobs, square_images


class Corner(nn.Module):
    """Returns the red, green and blue values of the top left corner as logits."""

    def forward(self, images):
        return images[:, :, 0, 0]


@pytest.fixture
def images(tmp_path):
    pixels, table = blobs(5, size=8)
    plain = Preprocessing("stretch", 8, 8, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    return build_dataset(table, ["green", "red"], square_images(tmp_path, pixels), plain)


def predict(images, tta, network=None):
    return predict_logits(network or Corner(), images, 2, torch.device("cpu"), tta=tta)


def test_without_augmentation_the_image_is_not_changed(images):
    np.testing.assert_allclose(predict(images, "none"), images.images.array[:, 0, 0], atol=0.01)


def test_flips_average_four_corners(images):
    corners = images.images.array[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    np.testing.assert_allclose(predict(images, "flips"), corners, atol=0.01)


def test_flips_and_rotations_use_each_of_the_eight_poses_once(images):
    inputs = []

    class Recorder(Corner):
        def forward(self, batch):
            inputs.append(batch[0].contiguous().numpy().tobytes())
            return super().forward(batch)

    predict(images, "flips_and_rotations", Recorder())
    assert len(set(inputs[:8])) == 8  # the first batch only
    corners = images.images.array[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    np.testing.assert_allclose(predict(images, "flips_and_rotations"), corners, atol=0.01)


def test_batch_normalization_uses_its_stored_statistics_and_does_not_change_them(images):
    network = nn.Sequential(Corner(), nn.BatchNorm1d(3, eps=0.0)).train()
    expected = images.images.array[:, 0, 0]  # mean 0 and variance 1 are stored
    np.testing.assert_allclose(predict(images, "none", network), expected, atol=0.01)
    assert not network[1].running_mean.any()


def test_out_of_memory_error_lists_the_batch_sizes(images):
    def run_out_of_memory(_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    network = nn.Module()
    network.forward = run_out_of_memory
    with pytest.raises(
        InputError,
        match=r"2 images of 8 pixels at once\. Lower evaluate\.batch_size, or train\.batch_size",
    ):
        predict(images, "none", network)
