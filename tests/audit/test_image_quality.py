import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.image_quality import find_low_quality_images
from support.imagesets import square_images


@pytest.fixture
def suspects(tmp_path):
    def find(pixels, sizes=None):
        images = square_images(tmp_path / "pixels", pixels, sizes)
        index = images.index.reset_index()
        table = index[["image_id", "width", "height"]].assign(file=index["image_id"] + ".png")
        found = find_low_quality_images(table.sample(frac=1, random_state=0), images)
        return {finding.id: finding for finding in found if finding.count}

    return find


def noise(n, low=60, high=200, size=64):
    return np.random.default_rng(0).integers(low, high, (n, size, size, 3)).astype(np.uint8)


def test_ordinary_pictures_are_not_suspected(suspects):
    assert suspects(noise(70), [(640, 480)] * 70) == {}


def test_pictures_of_one_colour_are_blank_whatever_the_colour(suspects):
    pixels = noise(5)
    pixels[1], pixels[3] = 120, 0
    pixels[1, ::7] += 1  # compression leaves a little noise
    found = suspects(pixels, [(640, 480)] * 5)
    assert [example[0] for example in found["low_information"].examples] == [
        "image1.png",
        "image3.png",
    ]
    assert set(found) == {"low_information"}


def test_a_small_thing_on_an_even_ground_is_no_blank_picture(suspects):
    pixels = np.full((2, 64, 64, 3), 200, np.uint8)
    pixels[0, 33:36, 33:36] = 0  # between the lines that are looked at first
    found = suspects(pixels, [(640, 480)] * 2)
    assert found["low_information"].examples == [["image1.png", "mean grey 200"]]


def test_nearly_black_and_nearly_white_are_told_apart(suspects):
    pixels = noise(3)
    pixels[0], pixels[2] = pixels[0] // 16, 255 - pixels[2] // 16
    found = suspects(pixels, [(640, 480)] * 3)
    assert found["dark"].examples[0][0] == "image0.png"
    assert found["light"].examples[0][0] == "image2.png"
    assert set(found) == {"dark", "light"}


def test_tiny_and_long_pictures_are_told_by_their_own_size(suspects):
    sizes = [(63, 400), (64, 64), (300, 901), (300, 900)]
    found = suspects(noise(4), sizes)
    assert found["odd_size"].examples == [["image0.png", "63 x 400 pixels"]]
    assert [example[0] for example in found["odd_aspect_ratio"].examples] == [
        "image0.png",
        "image2.png",
    ]


def test_every_file_of_a_copied_picture_is_named(tmp_path):
    images = square_images(tmp_path, np.zeros((1, 64, 64, 3), np.uint8))
    table = pd.DataFrame({"file": ["b", "a"], "image_id": "image0", "width": 99, "height": 99})
    blank = find_low_quality_images(table, images)[0]
    assert [example[0] for example in blank.examples] == ["a", "b"]
