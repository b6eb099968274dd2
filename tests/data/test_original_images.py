import io

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import decode, decode_within
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.original_images import OriginalImages
from skin_lesions.data.raw_store import ObjectStore


def gradient(width, height):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


def encoded(image, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def test_small_images_are_decoded_unchanged():
    image = gradient(40, 30)
    np.testing.assert_array_equal(decode_within(encoded(image), 40 * 30), image)


@pytest.mark.parametrize(("width", "height"), [(400, 100), (100, 400), (200, 200)])
def test_large_images_keep_their_aspect_ratio_at_the_maximum_area(width, height):
    reduced = decode_within(encoded(gradient(width, height)), width * height // 4)
    assert reduced.shape == (height // 2, width // 2, 3)
    square = decode(encoded(gradient(width, height)), 64).pixels
    expected = np.asarray(Image.fromarray(reduced).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(square.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_to_images_that_are_not_square(orientation):
    data = encoded(gradient(40, 30), orientation)
    shape = (40, 30, 3) if orientation >= 5 else (30, 40, 3)
    pixels = decode_within(data, 10_000)
    assert pixels.shape == shape
    square = decode(data, 16).pixels.astype(int)
    resized = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.abs(square - resized).mean() < 3


def test_unreadable_bytes_are_rejected_with_a_reason():
    with pytest.raises(UnreadableImageError, match="empty"):
        decode_within(b"", 100)


def test_images_of_the_raw_store_are_decoded_by_their_number(tmp_path):
    store = ObjectStore(tmp_path)
    levels = [np.full((20, 30, 3), level, np.uint8) for level in (50, 200)]
    ids = [store.put(encoded(image))[0] for image in levels]
    images = OriginalImages(store, ids[::-1], max_area=150)
    assert len(images) == 2
    assert [images[i].shape for i in range(2)] == [(10, 15, 3)] * 2
    assert [round(images[i].mean()) for i in range(2)] == [200, 50]
