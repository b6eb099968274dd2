import base64
import io

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.image_files import read_pixels
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.app.shown_images import MAX_SIDE, jpeg_url, map_url, shown_pixels
from support.color_predictor import image_file

STRETCH, CENTER_CROP = (Preprocessing(mode, 64, 32) for mode in ("stretch", "center_crop"))


def shown(data, preprocessing=STRETCH):
    return shown_pixels(read_pixels(data), preprocessing)


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def map_of(values):
    content = map_url(np.float32(values)).partition("base64,")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_large_image_is_reduced_and_keeps_its_aspect_ratio():
    assert shown(image_file(size=(2 * MAX_SIDE, MAX_SIDE))).shape == (MAX_SIDE // 2, MAX_SIDE, 3)


def test_small_image_keeps_its_size():
    assert shown(image_file(size=(30, 20))).shape == (20, 30, 3)


def test_image_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by 90 degrees
    data = image_file(size=(60, 40), file_format="JPEG", exif=exif)
    assert shown(data).shape == (60, 40, 3)


def test_center_crop_shows_the_central_square_only():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 255  # the central square is white
    square = shown(png(pixels), CENTER_CROP)
    assert square.shape == (40, 40, 3)
    assert square.min() == 255


def test_gray_image_of_16_bits_is_shown_in_gray():
    pixels = np.full((10, 20), 32_896, np.uint16)
    assert shown(png(pixels)).tolist() == np.full((10, 20, 3), 128).tolist()


def test_map_is_transparent_where_it_is_low_and_bright_where_it_is_high():
    image = map_of([[0.0, 8.0]])
    assert image[:, 0, 3].max() == 0
    assert image[:, -1, 3].min() == 255
    assert image[:, -1].tolist()[0] == [252, 255, 164, 255]


def test_map_does_not_depend_on_its_unit():
    values = np.random.default_rng(0).random((7, 7))
    assert (map_of(values) == map_of(1000 * values)).all()


def test_map_that_is_zero_everywhere_is_not_shown():
    assert map_url(np.zeros((7, 7), np.float32)) is None


@pytest.mark.parametrize("url", [jpeg_url(np.zeros((4, 4, 3), np.uint8)), map_url(np.eye(2))])
def test_images_are_data_urls(url):
    assert url.startswith(("data:image/jpeg;base64,", "data:image/png;base64,"))
