import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import normalize

from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing


def stretched_image(width, height, size):
    """Make an image without symmetry; return it and its stretched square.

    Red increases from left to right, green from top to bottom. Blue marks the top left corner.
    """
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    image[: height // 3, : width // 3, 2] = 255
    return image, np.array(Image.fromarray(image).resize((size, size)))[None]


def test_stretch_at_the_stored_size_changes_nothing():
    stored = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    resized = resize_batch(stored, [1.0] * 3, Preprocessing("stretch", 16, 16))
    np.testing.assert_array_equal(resized.permute(0, 2, 3, 1).numpy(), stored)


def test_resizing_is_antialiased_like_pillow():
    stored = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    resized = resize_batch(stored, [1.0], Preprocessing("stretch", 64, 24))
    pillow = np.asarray(Image.fromarray(stored[0]).resize((24, 24), Image.Resampling.BILINEAR))
    assert np.abs(resized[0].permute(1, 2, 0).numpy().astype(int) - pillow).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(120, 60), (60, 120), (90, 90)])
def test_center_crop_is_the_central_square_of_the_original_image(width, height):
    image, stored = stretched_image(width, height, 96)
    size = min(width, height)
    left, top = (width - size) // 2, (height - size) // 2
    expected = Image.fromarray(image).crop((left, top, left + size, top + size)).resize((48, 48))
    resized = resize_batch(stored, [width / height], Preprocessing("center_crop", 96, 48))
    difference = np.abs(resized[0].permute(1, 2, 0).numpy().astype(int) - np.asarray(expected))
    assert difference[..., :2].max() <= 4  # gradients, 255 per side
    assert difference.mean() < 3


def test_images_of_different_aspects_keep_their_order_in_a_batch():
    _, wide = stretched_image(120, 60, 96)
    _, tall = stretched_image(60, 120, 96)
    inverted = 255 - wide
    preprocessing = Preprocessing("center_crop", 96, 48)
    mixed = resize_batch(np.concatenate([wide, tall, inverted]), [2.0, 0.5, 2.0], preprocessing)
    separate = [
        resize_batch(square, [aspect], preprocessing)
        for square, aspect in [(wide, 2.0), (tall, 0.5), (inverted, 2.0)]
    ]
    assert torch.equal(mixed, torch.cat(separate))


def test_normalization_equals_torchvision():
    batch = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    preprocessing = Preprocessing("stretch", 8, 8)
    expected = normalize(batch / 255, list(preprocessing.mean), list(preprocessing.std))
    torch.testing.assert_close(normalize_batch(batch, preprocessing), expected)
