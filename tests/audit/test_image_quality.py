import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.image_quality import find_low_quality_images
from support.imagesets import square_images


@pytest.fixture
def low_quality_images(tmp_path):
    def find(pixels, sizes=None):
        images = square_images(tmp_path / "pixels", pixels, sizes)
        index = images.index.reset_index()
        table = index[["image_id", "width", "height"]].assign(file=index["image_id"] + ".png")
        found = find_low_quality_images(table.sample(frac=1, random_state=0), images)
        return {finding.id: finding for finding in found if finding.count}

    return find


def noise(n, low=60, high=200, size=64):
    return np.random.default_rng(0).integers(low, high, (n, size, size, 3)).astype(np.uint8)


def test_ordinary_images_raise_no_finding(low_quality_images):
    assert low_quality_images(noise(70), [(640, 480)] * 70) == {}


def test_images_of_any_single_color_are_blank(low_quality_images):
    pixels = noise(5)
    pixels[1], pixels[3] = 120, 0
    pixels[1, ::7] += 1  # a little noise, as after compression
    found = low_quality_images(pixels, [(640, 480)] * 5)
    assert [example[0] for example in found["low_information"].examples] == [
        "image1.png",
        "image3.png",
    ]
    assert set(found) == {"low_information"}


def test_small_structure_on_a_uniform_background_is_not_blank(low_quality_images):
    pixels = np.full((2, 64, 64, 3), 200, np.uint8)
    pixels[0, 33:36, 33:36] = 0  # between the lines that are sampled first
    found = low_quality_images(pixels, [(640, 480)] * 2)
    assert found["low_information"].examples == [["image1.png", "mean gray 200"]]


def test_nearly_black_and_nearly_white_are_separate_findings(low_quality_images):
    pixels = noise(3)
    pixels[0], pixels[2] = pixels[0] // 16, 255 - pixels[2] // 16
    found = low_quality_images(pixels, [(640, 480)] * 3)
    assert found["dark"].examples[0][0] == "image0.png"
    assert found["light"].examples[0][0] == "image2.png"
    assert set(found) == {"dark", "light"}


def test_small_and_elongated_images_are_found_by_their_original_size(low_quality_images):
    sizes = [(63, 400), (64, 64), (300, 901), (300, 900)]
    found = low_quality_images(noise(4), sizes)
    assert found["odd_size"].examples == [["image0.png", "63 x 400 pixels"]]
    assert [example[0] for example in found["odd_aspect_ratio"].examples] == [
        "image0.png",
        "image2.png",
    ]


def test_every_file_of_a_duplicated_image_is_listed(tmp_path):
    images = square_images(tmp_path, np.zeros((1, 64, 64, 3), np.uint8))
    table = pd.DataFrame({"file": ["b", "a"], "image_id": "image0", "width": 99, "height": 99})
    blank = find_low_quality_images(table, images)[0]
    assert [example[0] for example in blank.examples] == ["a", "b"]
