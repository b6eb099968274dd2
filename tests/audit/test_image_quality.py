import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.image_quality import low_quality_images
from support.audit import audit_context, by_id
from support.imagesets import square_images


@pytest.fixture
def faults(tmp_path):
    def find(pixels, sizes=None):
        images = square_images(tmp_path / "pixels", pixels, sizes)
        index = images.index.reset_index()
        table = index[["image_id", "width", "height"]].assign(
            file=index["image_id"] + ".png", label="nv"
        )
        table = table.sample(frac=1, random_state=0)
        return by_id(low_quality_images(audit_context(table, images=images)))

    return find


def noise(n, low=60, high=200, size=64):
    return np.random.default_rng(0).integers(low, high, (n, size, size, 3)).astype(np.uint8)


def test_ordinary_images_raise_no_finding(faults):
    assert faults(noise(70), [(640, 480)] * 70) == {}


def test_images_of_any_single_color_are_blank(faults):
    pixels = noise(5)
    pixels[1], pixels[3] = 120, 0
    pixels[1, ::7] += 1  # a little noise, as after compression
    found = faults(pixels, [(640, 480)] * 5)
    assert [example[0] for example in found["low_information"].examples] == [
        "image1.png",
        "image3.png",
    ]
    assert set(found) == {"low_information"}


def test_small_structure_on_a_uniform_background_is_not_blank(faults):
    pixels = np.full((2, 64, 64, 3), 200, np.uint8)
    pixels[0, 33:36, 33:36] = 0  # between the lines that are sampled first
    found = faults(pixels, [(640, 480)] * 2)
    assert found["low_information"].examples == [["image1.png", "mean gray 200"]]


def test_nearly_black_and_nearly_white_are_separate_findings(faults):
    pixels = noise(3)
    pixels[0], pixels[2] = pixels[0] // 16, 255 - pixels[2] // 16
    found = faults(pixels, [(640, 480)] * 3)
    assert found["dark"].examples[0][0] == "image0.png"
    assert found["light"].examples[0][0] == "image2.png"
    assert set(found) == {"dark", "light"}


def test_small_and_elongated_images_are_found_by_their_original_size(faults):
    sizes = [(63, 400), (64, 64), (300, 901), (300, 900)]
    found = faults(noise(4), sizes)
    assert found["odd_size"].examples == [["image0.png", "63 x 400 pixels"]]
    assert [example[0] for example in found["odd_aspect_ratio"].examples] == [
        "image0.png",
        "image2.png",
    ]


def test_every_file_of_a_duplicated_image_is_listed(tmp_path):
    images = square_images(tmp_path, np.zeros((1, 64, 64, 3), np.uint8))
    table = pd.DataFrame({"file": ["b", "a"], "image_id": "image0", "label": "nv"})
    (blank,) = low_quality_images(audit_context(table, images=images))
    assert [example[0] for example in blank.examples] == ["a", "b"]
