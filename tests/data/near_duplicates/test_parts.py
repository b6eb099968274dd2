"""Images that show only a part of the same photograph, and images that share only an overlay."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import describe
from skin_lesions.data.near_duplicates.local_matching import voting_keypoints


def photograph(seed, height=480, width=640):
    """Return a photograph with structure of all sizes, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    size = (width, height)
    sizes = [cv2.resize(rng.uniform(-1, 1, (n, n)), size) for n in (6, 20, 60, 150)]
    gray = 128 + 30 * sum(sizes) + rng.normal(0, 3, (height, width))
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def smooth_skin(seed, size=300):
    """Return skin with a lesion and weak texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    center = rng.uniform(0.3, 0.7, 2)
    lesion = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / rng.uniform(0.005, 0.03))
    texture = 4 * cv2.resize(rng.uniform(-1, 1, (80, 80)), (size, size))
    gray = 180 - rng.uniform(20, 70) * lesion + texture + rng.normal(0, 1, (size, size))
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def resized(image, width, height):
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def linked(images):
    return find_near_duplicates(images)[["a", "b"]].to_numpy().tolist()


PARTS = {
    "overlap of a fifth": lambda p: (p[:240, :320], p[80:320, 212:532]),
    "detail, magnified 3.5 times": lambda p: (p, p[150:287, 200:383]),
    "aspect ratio changed by 1.8": lambda p: (p, resized(p, 356, 480)),
    "mirrored crop": lambda p: (p[:360], p[120:, ::-1]),
    "crops of different aspect ratios": lambda p: (p[:200], p[:, 100:350]),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_photograph_are_found_and_other_photographs_are_not(part):
    images = [image for seed in range(4) for image in PARTS[part](photograph(seed))]
    assert linked(images) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_collage_is_linked_to_its_panels_and_only_to_them():
    panels = [photograph(seed) for seed in range(4)]
    small = [resized(panel, 220, 220) for panel in panels[:3]]
    assert linked([np.hstack(small), *panels]) == [[0, 1], [0, 2], [0, 3]]


def test_thirty_crops_of_one_photograph_are_one_group():
    rng = np.random.default_rng(0)
    image = photograph(0)
    corners = zip(rng.integers(0, 160, 30), rng.integers(0, 210, 30), strict=True)
    crops = [image[y : y + 320, x : x + 430] for y, x in corners]
    images = [*crops, photograph(1), photograph(2)]
    groups = merge_pairs(len(images), find_near_duplicates(images))
    assert groups.tolist() == [0] * 30 + [30, 31]


def add_hair(image):
    rng = np.random.default_rng(7)
    drawn = image.copy()
    for _ in range(12):
        points = (rng.uniform(0, 1, (4, 2)) * len(image)).astype(np.int32)
        cv2.polylines(drawn, [points], isClosed=False, color=(40, 35, 30), thickness=3)
    return drawn


def add_ruler(image):
    drawn = image.copy()
    for x in range(0, len(image), 8):
        cv2.line(drawn, (x, 0), (x, 40 if x % 40 == 0 else 25), (20, 20, 20), 2)
    return drawn


def add_watermark(image):
    layer = np.zeros_like(image)
    for y in (80, 170, 260):
        cv2.putText(layer, "ATLAS", (5, y), 0, 3, (255, 255, 255), 6)
    return np.where(layer > 0, image // 2 + 127, image).astype(np.uint8)


@pytest.mark.parametrize("overlay", [add_hair, add_ruler, add_watermark])
def test_different_lesions_with_the_same_overlay_are_not_linked(overlay):
    assert linked([overlay(smooth_skin(seed)) for seed in range(12)]) == []


def test_different_subjects_on_the_same_background_are_not_linked():
    height, width = 480, 640
    y, x = np.mgrid[:height, :width]
    is_subject = np.hypot((x - 320) / 215, (y - 240) / 200)[..., None] < 1  # 44 % of the image
    background = photograph(100)
    assert linked([np.where(is_subject, photograph(n), background) for n in range(6)]) == []


@pytest.mark.parametrize("overlay", [add_hair, add_ruler])
def test_equal_lesions_with_an_overlay_are_linked(overlay):
    image = overlay(smooth_skin(0))
    assert linked([image, image[:240, 30:], overlay(smooth_skin(1))]) == [[0, 1]]


@pytest.mark.parametrize("picture", [photograph, smooth_skin])
def test_crop_with_a_caption_on_a_third_of_it_is_linked(picture):
    def captioned(seed):
        image = picture(seed)[20:, 30:]
        top = int(0.65 * len(image))
        image[top:] = 230
        return cv2.putText(image, "abc defgh", (10, top + 40), 0, 0.8, (20, 20, 20))

    images = [image for seed in range(3) for image in (picture(seed), captioned(seed))]
    assert linked(images) == [[0, 1], [2, 3], [4, 5]]


def test_noisy_copy_of_smooth_skin_is_linked():
    image = smooth_skin(0).astype(float)
    noisy = image + np.random.default_rng(1).normal(0, 6, image.shape)
    images = [image, noisy.clip(0, 255), smooth_skin(1), smooth_skin(2)]
    assert linked([picture.astype(np.uint8) for picture in images]) == [[0, 1]]


def test_each_image_is_read_once_and_equal_bytes_of_another_shape_are_another_image(tmp_path):
    wide = photograph(0, 100, 200)

    class Images:
        def __init__(self):
            self.reads = [0, 0, 0]

        def __len__(self):
            return 3

        def __getitem__(self, number):
            self.reads[number] += 1
            return [wide, wide.reshape(200, 100, 3), wide][number]

    images = Images()
    features, first = describe(images, tmp_path, DEFAULT_CONFIG)
    assert images.reads == [1, 1, 1]
    assert first.tolist() == [0, 1, 0]
    assert features.frames.round().tolist() == [[362, 181], [181, 362]]  # area of 256 x 256


def test_keypoints_that_vote_are_fewer_only_for_very_many_images():
    assert [voting_keypoints(n, DEFAULT_CONFIG) for n in (0, 2, 20_000)] == [400] * 3
    assert voting_keypoints(70_000, DEFAULT_CONFIG) == 200
    assert voting_keypoints(10**9, DEFAULT_CONFIG) == 96


def test_image_without_structure_in_any_size_has_no_keypoints(tmp_path):
    images = [np.full((height, 50, 3), 128, np.uint8) for height in (1, 50, 2000)]
    features, _ = describe(images, tmp_path, replace(DEFAULT_CONFIG, detection_size=64))
    assert features.counts.tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(10))
def test_random_false_links_of_single_images_join_few(seed):
    """False links at 0.3 % of the candidates, with 12 candidates for each of 3,000 images."""
    rng = np.random.default_rng(seed)
    false_links = rng.integers(0, 3000, (int(0.003 * 12 * 3000), 2))
    rows = [(min(a, b), max(a, b), rng.uniform(0.3, 0.9)) for a, b in false_links if a != b]
    pairs = pd.DataFrame(rows, columns=["a", "b", "strength"]).assign(kind="changed")
    assert np.bincount(merge_pairs(3000, pairs)).max() <= 10
