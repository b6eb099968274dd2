import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
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


def boxes():
    """Boxes with a side of at least 2 % of the image."""
    interval = st.tuples(st.floats(0, 0.98), st.floats(0.02, 1)).map(
        lambda x: (x[0], min(1.0, x[0] + x[1]))
    )
    return st.tuples(interval, interval).map(lambda b: (b[0][0], b[1][0], b[0][1], b[1][1]))


@given(box=boxes(), aspect=st.floats(0.5, 2), margin=st.floats(0, 2))
def test_crop_around_a_lesion_is_a_square_of_the_image_that_contains_the_box(box, aspect, margin):
    size = 200
    preprocessing = Preprocessing("stretch", size, 64, lesion_margin=margin)
    (top, bottom), (left, right) = preprocessing.crop(aspect, box)
    assert 0 <= top < bottom <= size
    assert 0 <= left < right <= size
    contained = np.array([left, top, -right, -bottom]) - size * np.array(box) * [1, 1, -1, -1]
    assert contained.max() <= 1  # rounded to pixels
    width, height = (right - left) * aspect, bottom - top
    assert abs(width - height) <= 2 or right - left == size or bottom - top == size


def test_margin_is_a_fraction_of_the_longer_side_on_each_side():
    preprocessing = Preprocessing("center_crop", 100, 64, lesion_margin=0.5)
    # In an image of 2:1, this box has 40 x 30 % of the height; with the margins, 80 x 80 %.
    assert preprocessing.crop(2.0, (0.4, 0.3, 0.6, 0.6)) == ((5, 85), (30, 70))


@given(box=boxes(), aspect=st.floats(0.5, 2))
def test_mirrored_box_has_the_mirrored_crop(box, aspect):
    preprocessing = Preprocessing("stretch", 200, 64, lesion_margin=0.2)
    rows, (left, right) = preprocessing.crop(aspect, box)
    x0, y0, x1, y1 = box
    mirrored_rows, columns = preprocessing.crop(aspect, (1 - x1, y0, 1 - x0, y1))
    assert mirrored_rows == rows
    assert np.abs(np.subtract(columns, (200 - right, 200 - left))).max() <= 1  # rounding


def test_crop_that_would_leave_the_image_is_moved_inside():
    preprocessing = Preprocessing("stretch", 100, 64, lesion_margin=0.5)
    assert preprocessing.crop(1.0, (0.0, 0.8, 0.2, 1.0)) == ((60, 100), (0, 40))
    assert preprocessing.crop(1.0, (0.0, 0.0, 1.0, 1.0)) == ((0, 100), (0, 100))


def test_crop_around_a_lesion_requires_its_box():
    with pytest.raises(ValueError, match="requires its box"):
        Preprocessing("stretch", 16, 16, lesion_margin=0.1).crop(1.0)


def test_each_image_of_a_batch_has_the_crop_of_its_own_box():
    squares = np.zeros((3, 40, 40, 3), np.uint8)
    corners = [(0, 0), (20, 10), (8, 24)]
    for square, (x, y) in zip(squares, corners, strict=True):
        square[y : y + 8, x : x + 8] = 200
    found = np.array([(x, y, x + 8, y + 8) for x, y in corners]) / 40
    preprocessing = Preprocessing("stretch", 40, 8, lesion_margin=0)
    resized = resize_batch(squares, [1.0] * 3, preprocessing, found)
    assert (resized == 200).all()
