from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_lesions.audit.image_quality import MASK_FRACTION, _measure, low_quality_images
from skin_lesions.data.decoding import decode
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


def lesion_mask(radius=18, size=64, background=(0, 0, 0), lesion=(255, 255, 255)):
    """Draw a disk with a smooth border, as after resizing."""
    y, x = np.mgrid[:size, :size] - size / 2
    inside = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)[..., None]  # (size, size, 1)
    return np.uint8(inside * lesion + (1 - inside) * background)


def line_drawing():
    """Draw lines of different grays on white paper, with the noise of a scanner."""
    paper = np.full((64, 64), 250.0)
    paper[6:60:7] = np.linspace(40, 180, 64)
    paper[:, 6:60:7] = np.linspace(40, 180, 64)[:, None]
    paper += np.random.default_rng(0).integers(-5, 6, paper.shape)
    return np.repeat(paper.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    "mask",
    [
        lesion_mask(),
        lesion_mask(radius=6),
        lesion_mask(background=(255, 255, 255), lesion=(0, 0, 0)),
        lesion_mask(background=(68, 1, 84), lesion=(253, 231, 37)),
        lesion_mask(background=(3, 3, 3), lesion=(130, 126, 127)),
    ],
    ids=["white", "small", "inverted", "colored", "gray"],
)
def test_masks_are_found_among_photographs(faults, mask):
    pixels = noise(3)
    pixels[1] = mask
    found = faults(pixels, [(640, 480)] * 3)
    assert set(found) == {"masks"}
    ((file, measurement),) = found["masks"].examples
    assert file == "image1.png"
    assert measurement.endswith("% of the pixels in two colors")
    assert found["masks"].severity == "medium"


def test_gray_drawings_on_paper_are_found(faults):
    pixels = noise(3)
    pixels[1] = line_drawing()
    found = faults(pixels, [(640, 480)] * 3)
    assert set(found) == {"drawings"}
    assert found["drawings"].examples[0][0] == "image1.png"


def test_photographs_without_colors_or_with_white_background_are_no_drawings(faults):
    pixels = noise(3)
    pixels[0] = pixels[0, ..., :1]  # gray
    pixels[1, :40] = 250  # white, with colors in the rest
    smooth = np.linspace(90, 200, 64).astype(np.uint8)
    pixels[2] = smooth[:, None, None]  # few different values
    assert faults(pixels, [(640, 480)] * 3) == {}


@pytest.mark.parametrize("difference", [50, 90])
def test_two_colors_of_a_mask_differ_clearly(faults, difference):
    pixels = noise(2)
    pixels[1] = 100
    pixels[1, 20:40, 20:40] += difference
    assert set(faults(pixels, [(640, 480)] * 2)) == ({"masks"} if difference == 90 else set())


@pytest.mark.slow
def test_masks_of_real_images_are_found_without_false_alarms(shared_data):
    is_mask = {}
    for file in sorted(Path(f"{shared_data}/localisation/").rglob("*.*g")):
        measured = _measure(decode(file.read_bytes(), 256).pixels)
        is_mask[file] = measured.two_colors > MASK_FRACTION
    assert len(is_mask) == 300
    assert all(found == (file.parent.name == "masks") for file, found in is_mask.items())


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
