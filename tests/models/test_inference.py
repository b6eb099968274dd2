import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.loader import build_dataset
from skin_lesions.data.preprocessing import Preprocessing
from skin_lesions.models.inference import predict_logits
from support.imagesets import blobs, square_images


class Corner(nn.Module):
    """Says the red, green and blue of the top left corner."""

    def forward(self, images):
        return images[:, :, 0, 0]


@pytest.fixture
def images(tmp_path):
    pixels, table = blobs(5, size=8)
    plain = Preprocessing("stretch", 8, 8, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    return build_dataset(table, ["green", "red"], square_images(tmp_path, pixels), plain)


def predicted(images, views, network=None):
    return predict_logits(network or Corner(), images, 2, torch.device("cpu"), tta=views)


def test_one_view_is_the_image_as_it_is(images):
    np.testing.assert_allclose(predicted(images, "none"), images.images.array[:, 0, 0], atol=0.01)


def test_flips_average_four_corners(images):
    corners = images.images.array[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    np.testing.assert_allclose(predicted(images, "flips"), corners, atol=0.01)


def test_flips_and_turns_show_each_of_the_eight_poses_once(images):
    seen = []

    class Recorder(Corner):
        def forward(self, batch):
            seen.append(batch[0].contiguous().numpy().tobytes())
            return super().forward(batch)

    predicted(images, "flips_and_rotations", Recorder())
    assert len(set(seen[:8])) == 8  # of the first batch
    corners = images.images.array[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=1)
    np.testing.assert_allclose(predicted(images, "flips_and_rotations"), corners, atol=0.01)


def test_memory_that_is_too_small_names_the_batch_sizes(images):
    def too_small(_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    network = nn.Module()
    network.forward = too_small
    with pytest.raises(InputError, match=r"2 images of 8 pixels at once: lower train\.batch_size"):
        predicted(images, "none", network)
