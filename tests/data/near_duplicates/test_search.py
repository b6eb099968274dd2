import io
from functools import cache

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED
from skin_lesions.data.near_duplicates.visual_words import train_vocabulary
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

SIZE = 256


def stretched(image):
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE)))


@cache
def lesions(label, n):
    """Return n different lesions of one class from the synthetic images."""
    table = synthetic_table(0)
    table = table[table["label"].eq(label) & table["planted"].isna()]
    files = table.drop_duplicates("lesion")["file"].head(n)
    drawn = [Image.open(io.BytesIO(render_file(file, 0))).convert("RGB") for file in files]
    return tuple(np.asarray(image) for image in drawn)


def jpeg(image, quality=90):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def warp(image, angle, scale=1.0, shear=0.0, shift=0.0):
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 1] += shear * matrix[:, 0]
    matrix[:, 2] += shift * width
    return cv2.warpAffine(image, matrix, (width, height))


def change_brightness(image, gain, bias):
    return (image.astype(float) * gain + bias).clip(0, 255).astype(np.uint8)


def add_noise(image, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def crop(image):
    height, width = image.shape[:2]
    return image[height // 10 : -height // 8, width // 9 : -width // 8]


SIMPLE = {
    "re-encoded": lambda image: jpeg(image, 60),
    "reduced": lambda image: jpeg(np.asarray(Image.fromarray(image).reduce(2))),
    "flipped": lambda image: jpeg(image[:, ::-1]),
    "rotated by a quarter turn": lambda image: jpeg(np.rot90(image)),
    "flipped and rotated by a quarter turn": lambda image: jpeg(np.rot90(image[::-1])),
    "brighter": lambda image: jpeg(change_brightness(image, 1.1, 20)),
}
HARD = {
    "rotated": lambda image: warp(image, 37),
    "mirrored and rotated": lambda image: warp(image[:, ::-1], -110),
    "sheared": lambda image: warp(image, 0, shear=0.2),
    "larger and shifted": lambda image: warp(image, 0, scale=1.25, shift=0.1),
    "cropped": crop,
    "noisy": lambda image: add_noise(image, 8),
    "several transformations": lambda image: add_noise(
        change_brightness(warp(crop(image), 20), 0.8, 25), 3
    ),
}


def originals():
    return lesions("Melanoma", 4) + lesions("Monkeypox", 4)


def search_duplicates(transform, sources):
    """Return the recall of transformed duplicates, all pairs, and the number of false matches."""
    images = np.stack([stretched(p) for p in sources] + [stretched(transform(p)) for p in sources])
    pairs = find_near_duplicates(images)
    is_correct = pairs["b"] - pairs["a"] == len(sources)
    return is_correct.sum() / len(sources), pairs, (~is_correct).sum()


@pytest.mark.parametrize("transform", SIMPLE)
def test_simple_transformations_are_found_with_kind_simple(transform):
    recall, pairs, false_matches = search_duplicates(SIMPLE[transform], originals())
    assert recall == 1
    assert false_matches == 0
    assert pairs["kind"].eq("simple").all()


@pytest.mark.parametrize("transform", HARD)
def test_strong_transformations_are_found(transform):
    recall, _, false_matches = search_duplicates(HARD[transform], originals())
    assert recall >= 7 / 8
    assert false_matches == 0


@pytest.mark.parametrize("label", ["Melanoma", "Melanocytic nevi", "Monkeypox"])
def test_different_lesions_of_one_class_are_not_near_duplicates(label):
    images = np.stack([stretched(image) for image in lesions(label, 12)])
    assert find_near_duplicates(images).empty


def test_equal_pixels_are_a_separate_kind_and_only_the_first_image_is_compared():
    one, other = (stretched(image) for image in lesions("Melanoma", 2))
    images = np.stack([one, other, one, one[::-1], one])
    pairs = find_near_duplicates(images)
    assert pairs[["a", "b", "kind"]].to_numpy().tolist() == [
        [0, 2, "pixels"],
        [0, 3, "simple"],
        [0, 4, "pixels"],
    ]
    assert pairs["strength"].between(0, 1).all()


def test_images_without_structure_are_duplicates_only_if_their_pixels_are_equal():
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 200, SIZE)[None, :, None] * np.ones((SIZE, 1, 3))
    flat = [np.full((SIZE, SIZE, 3), gray) for gray in (0, 0, 1, 128, 255)]
    noise = [128 + rng.normal(0, sigma, (SIZE, SIZE, 3)) for sigma in (1, 1, 5, 5)]
    slopes = [slope + rng.normal(0, 2, slope.shape) for _ in range(3)]
    pairs = find_near_duplicates(np.stack([*flat, *noise, *slopes]).clip(0, 255).astype(np.uint8))
    assert pairs[["a", "b", "kind"]].to_numpy().tolist() == [[0, 1, "pixels"]]


def test_common_dermatoscope_rim_does_not_make_near_duplicates():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    is_inside_rim = (np.hypot(x, y) < 120)[..., None]
    skin_images = [
        cv2.resize(rng.integers(120, 200, (n, n, 3)).astype(np.uint8), (SIZE, SIZE))
        for n in range(4, 16)
    ]
    assert find_near_duplicates(
        np.stack([skin * is_inside_rim for skin in skin_images]).astype(np.uint8)
    ).empty


def test_common_black_frame_does_not_make_near_duplicates():
    sources = lesions("Melanocytic nevi", 12)
    images = np.stack([stretched(warp(image, 0, scale=0.7)) for image in sources])
    assert find_near_duplicates(images).empty


def add_caption(image):
    image = cv2.resize(image, (512, 512))
    image[440:] = 255
    cv2.putText(image, "Fig. 3: (c) Skin Atlas", (8, 490), 0, 1.3, (0, 0, 0), 2)
    return image


def add_ruler_and_logo(image):
    image = cv2.resize(image, (512, 512))
    image[:60] = 230
    for x in range(0, 512, 12):
        cv2.line(image, (x, 0), (x, 20 if x % 60 else 40), (0, 0, 0), 2)
    cv2.circle(image, (450, 450), 45, (180, 40, 20), -1)
    cv2.putText(image, "SKIN", (412, 458), 0, 1, (255, 255, 255), 3)
    return image


@pytest.mark.parametrize("overlay", [add_caption, add_ruler_and_logo])
def test_common_caption_ruler_or_logo_does_not_make_near_duplicates(overlay):
    sources = lesions("Melanocytic nevi", 12) + lesions("Melanoma", 12)
    images = np.stack([stretched(overlay(image)) for image in sources])
    assert find_near_duplicates(images).empty


def test_overlapping_crops_are_found_without_the_full_image():
    sources = originals()
    upper = [stretched(jpeg(p[: len(p) * 4 // 5, : p.shape[1] * 4 // 5])) for p in sources]
    lower = [stretched(jpeg(p[len(p) // 5 :, p.shape[1] // 5 :])) for p in sources]
    pairs = find_near_duplicates(np.stack(upper + lower))
    expected = [[row, row + len(sources)] for row in range(len(sources))]
    assert pairs[["a", "b"]].to_numpy().tolist() == expected


def test_visual_words_of_a_mirrored_descriptor_are_known_without_recomputing_it():
    rng = np.random.default_rng(0)
    values = np.sqrt(rng.dirichlet(np.full(128, 0.3), 2000))
    descriptors = (values * DESCRIPTOR_NORM).clip(0, 255).astype(np.uint8)
    vocabulary = train_vocabulary(descriptors, len(descriptors), rng, DEFAULT_CONFIG)
    mirrored_words, mirrored_signatures = vocabulary.quantize(descriptors[:, MIRRORED])
    expected = vocabulary.combine_parts(mirrored_words, mirrored_signatures)
    words, signatures = vocabulary.quantize(descriptors)
    actual = vocabulary.combine_parts(words, signatures, mirrored=True)
    for expected_part, actual_part in zip(expected, actual, strict=True):
        assert (
            expected_part == actual_part
        ).mean() > 0.999  # except for descriptors at the border of a word


@pytest.mark.parametrize("n", [0, 1])
def test_zero_or_one_image_has_no_pairs(n):
    pairs = find_near_duplicates(np.zeros((n, SIZE, SIZE, 3), np.uint8))
    assert pairs.empty
    assert pairs.columns.tolist() == ["a", "b", "kind", "strength"]


def test_near_duplicates_of_smooth_skin_without_local_features_are_found():
    colors = np.random.default_rng(0).integers(120, 200, (8, 4, 4, 3)).astype(np.uint8)
    smooth = [cv2.resize(c, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for c in colors]
    pairs = find_near_duplicates(np.stack(smooth + [SIMPLE["flipped"](image) for image in smooth]))
    assert pairs[["a", "b"]].to_numpy().tolist() == [[row, row + 8] for row in range(8)]


def test_near_duplicates_of_small_images_are_found():
    images = np.stack([stretched(image) for image in originals()])
    small = images.reshape(-1, 64, 4, 64, 4, 3).mean(axis=(2, 4)).astype(np.uint8)
    pairs = find_near_duplicates(np.concatenate([small, np.rot90(small, axes=(1, 2))]))
    assert (pairs["b"] - pairs["a"] == len(small)).sum() == len(small)


def test_result_is_deterministic_for_any_number_of_threads(monkeypatch):
    sources = originals()
    transformed = [HARD["several transformations"](image) for image in sources]
    images = np.stack([stretched(image) for image in (*sources, *transformed)])
    expected = find_near_duplicates(images)
    monkeypatch.setattr("skin_lesions.core.parallel.usable_cpus", lambda: 1)
    with threadpool_limits(1):
        pd.testing.assert_frame_equal(find_near_duplicates(images), expected)


def pairs_of(*rows, kind="changed"):
    return pd.DataFrame(rows, columns=["a", "b", "strength"]).assign(kind=kind)


def chain(rows, strength):
    """Return pairs that merge these images into one group, in their order."""
    return [(rows[0], row, strength) for row in rows[1:]]


def sizes(groups):
    return sorted(np.unique(groups, return_counts=True)[1].tolist())


@pytest.mark.parametrize("strength", [0.5, 0.99])
def test_one_false_match_does_not_merge_two_large_groups(strength):
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    assert max(sizes(merge_pairs(40, pairs_of(*large, (3, 33, strength))))) <= 21


@pytest.mark.parametrize(("false_matches", "largest_group"), [(30, 30), (300, 60)])
def test_random_false_matches_do_not_chain_3000_images(false_matches, largest_group):
    rng = np.random.default_rng(0)
    true_pairs = [pair for row in range(0, 3000, 10) for pair in chain(range(row, row + 10), 0.9)]
    random_pairs = [rng.choice(3000, 2, replace=False) for _ in range(false_matches)]
    pairs = pairs_of(
        *true_pairs, *((min(pair), max(pair), rng.uniform(0.75, 0.99)) for pair in random_pairs)
    )
    assert max(sizes(merge_pairs(3000, pairs))) <= largest_group


def test_one_image_similar_to_many_does_not_merge_two_large_groups():
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    hub = [(3, row, 0.6) for row in range(20, 40)]
    assert sizes(merge_pairs(40, pairs_of(*large, *hub))) == [20, 20]


def test_several_pairs_of_different_images_merge_large_groups():
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    assert sizes(merge_pairs(40, pairs_of(*large, (3, 33, 0.6), (4, 34, 0.6)))) == [40]


def test_pairs_of_both_parts_of_a_merged_group_count_for_a_third_group():
    large = chain(range(6), 0.9) + chain(range(6, 11), 0.9) + chain(range(11, 16), 0.9)
    to_third_group = [(0, 11, 0.8), (6, 12, 0.8)]  # one pair of each part: not enough alone
    between_parts = [(1, 7, 0.6), (2, 8, 0.6)]  # processed last, because they are weaker
    assert sizes(merge_pairs(16, pairs_of(*large, *to_third_group))) == [5, 5, 6]
    assert sizes(merge_pairs(16, pairs_of(*large, *to_third_group, *between_parts))) == [16]


@pytest.mark.parametrize(("linked", "merged"), [(2, False), (3, False), (4, True)])
def test_merging_large_groups_requires_pairs_of_a_tenth_of_the_smaller_one(linked, merged):
    large = chain(range(40), 0.9) + chain(range(40, 90), 0.9)  # a tenth of 40 is 4
    pairs = [(row, 40 + row, 0.6) for row in range(linked)]
    assert sizes(merge_pairs(90, pairs_of(*large, *pairs))) == ([90] if merged else [40, 50])


def test_weak_pair_adds_a_single_image_but_does_not_merge_two_pairs():
    assert sizes(merge_pairs(3, pairs_of((0, 1, 0.9), (1, 2, 0.5)))) == [3]
    two = [(0, 1, 0.9), (2, 3, 0.9)]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.5)))) == [2, 2]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.8)))) == [4]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.5), (0, 3, 0.5)))) == [4]


def test_equal_pixels_always_merge_groups():
    initial_groups = [0] * 20 + [1] * 20
    pairs = pairs_of((3, 33, 1.0), kind="pixels")
    assert sizes(merge_pairs(40, pairs, initial_groups)) == [40]


def test_initial_groups_are_not_split_and_missing_labels_are_not_merged():
    initial_groups = ["x", "x", None, None, np.nan]
    assert merge_pairs(5, pairs_of(), initial_groups).tolist() == [0, 0, 2, 3, 4]
    assert merge_pairs(5, pairs_of((1, 3, 0.5)), initial_groups).tolist() == [0, 0, 2, 0, 4]


def test_groups_do_not_depend_on_the_order_of_pairs():
    rng = np.random.default_rng(0)
    rows = [(*sorted(rng.choice(60, 2, replace=False)), rng.uniform(0.4, 1)) for _ in range(90)]
    pairs = pairs_of(*rows)
    expected = merge_pairs(60, pairs)
    for seed in range(5):
        shuffled = pairs.sample(frac=1, random_state=seed)
        np.testing.assert_array_equal(merge_pairs(60, shuffled), expected)
