import io
from functools import cache

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs
from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED
from skin_lesions.data.near_duplicates.visual_words import train_vocabulary
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

SIZE = 256


def squashed(picture):
    return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE)))


@cache
def lesions(label, n):
    """Different lesions of one class, as drawn for the demo."""
    table = synthetic_table(0)
    table = table[table["label"].eq(label) & table["planted"].isna()]
    files = table.drop_duplicates("lesion")["file"].head(n)
    drawn = [Image.open(io.BytesIO(render_file(file, 0))).convert("RGB") for file in files]
    return tuple(np.asarray(picture) for picture in drawn)


def jpeg(picture, quality=90):
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def warped(picture, angle, scale=1.0, shear=0.0, shift=0.0):
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    turn[:, 1] += shear * turn[:, 0]
    turn[:, 2] += shift * width
    return cv2.warpAffine(picture, turn, (width, height))


def lit(picture, gain, bias):
    return (picture.astype(float) * gain + bias).clip(0, 255).astype(np.uint8)


def noisy(picture, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def cropped(picture):
    height, width = picture.shape[:2]
    return picture[height // 10 : -height // 8, width // 9 : -width // 8]


SIMPLE = {
    "encoded anew": lambda picture: jpeg(picture, 60),
    "smaller": lambda picture: jpeg(np.asarray(Image.fromarray(picture).reduce(2))),
    "flipped": lambda picture: jpeg(picture[:, ::-1]),
    "turned": lambda picture: jpeg(np.rot90(picture)),
    "flipped and turned": lambda picture: jpeg(np.rot90(picture[::-1])),
    "brighter": lambda picture: jpeg(lit(picture, 1.1, 20)),
}
HARD = {
    "rotated": lambda picture: warped(picture, 37),
    "mirrored and rotated": lambda picture: warped(picture[:, ::-1], -110),
    "sheared": lambda picture: warped(picture, 0, shear=0.2),
    "larger and shifted": lambda picture: warped(picture, 0, scale=1.25, shift=0.1),
    "cropped": cropped,
    "noisy": lambda picture: noisy(picture, 8),
    "several at once": lambda picture: noisy(lit(warped(cropped(picture), 20), 0.8, 25), 3),
}


def originals():
    return lesions("Melanoma", 4) + lesions("Monkeypox", 4)


def found_of(change, pictures):
    """Return the share of pictures whose changed copy is found, the pairs, and how many are wrong."""
    images = np.stack([squashed(p) for p in pictures] + [squashed(change(p)) for p in pictures])
    pairs = find_near_duplicates(images)
    right = pairs["b"] - pairs["a"] == len(pictures)
    return right.sum() / len(pictures), pairs, (~right).sum()


@pytest.mark.parametrize("change", SIMPLE)
def test_simple_changes_are_found_and_called_simple(change):
    share, pairs, wrong = found_of(SIMPLE[change], originals())
    assert share == 1
    assert wrong == 0
    assert pairs["kind"].eq("simple").all()


@pytest.mark.parametrize("change", HARD)
def test_hard_changes_are_found(change):
    share, _, wrong = found_of(HARD[change], originals())
    assert share >= 7 / 8
    assert wrong == 0


@pytest.mark.parametrize("label", ["Melanoma", "Melanocytic nevi", "Monkeypox"])
def test_different_lesions_of_one_class_are_not_copies(label):
    images = np.stack([squashed(picture) for picture in lesions(label, 12)])
    assert find_near_duplicates(images).empty


def test_equal_pixels_are_one_kind_and_only_the_first_of_them_is_compared():
    one, other = (squashed(picture) for picture in lesions("Melanoma", 2))
    images = np.stack([one, other, one, one[::-1], one])
    pairs = find_near_duplicates(images)
    assert pairs[["a", "b", "kind"]].to_numpy().tolist() == [
        [0, 2, "pixels"],
        [0, 3, "simple"],
        [0, 4, "pixels"],
    ]
    assert pairs["strength"].between(0, 1).all()


def test_pictures_without_structure_are_copies_only_if_their_pixels_are_equal():
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 200, SIZE)[None, :, None] * np.ones((SIZE, 1, 3))
    flat = [np.full((SIZE, SIZE, 3), grey) for grey in (0, 0, 1, 128, 255)]
    noise = [128 + rng.normal(0, sigma, (SIZE, SIZE, 3)) for sigma in (1, 1, 5, 5)]
    slopes = [slope + rng.normal(0, 2, slope.shape) for _ in range(3)]
    pairs = find_near_duplicates(np.stack([*flat, *noise, *slopes]).clip(0, 255).astype(np.uint8))
    assert pairs[["a", "b", "kind"]].to_numpy().tolist() == [[0, 1, "pixels"]]


def test_the_rim_of_the_dermatoscope_joins_nothing():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    tube = (np.hypot(x, y) < 120)[..., None]
    skins = [
        cv2.resize(rng.integers(120, 200, (n, n, 3)).astype(np.uint8), (SIZE, SIZE))
        for n in range(4, 16)
    ]
    assert find_near_duplicates(np.stack([skin * tube for skin in skins]).astype(np.uint8)).empty


def test_pictures_made_smaller_in_the_same_black_frame_are_not_copies():
    pictures = lesions("Melanocytic nevi", 12)
    images = np.stack([squashed(warped(picture, 0, scale=0.7)) for picture in pictures])
    assert find_near_duplicates(images).empty


def captioned(picture):
    picture = cv2.resize(picture, (512, 512))
    picture[440:] = 255
    cv2.putText(picture, "Fig. 3: (c) Skin Atlas", (8, 490), 0, 1.3, (0, 0, 0), 2)
    return picture


def with_ruler_and_logo(picture):
    picture = cv2.resize(picture, (512, 512))
    picture[:60] = 230
    for x in range(0, 512, 12):
        cv2.line(picture, (x, 0), (x, 20 if x % 60 else 40), (0, 0, 0), 2)
    cv2.circle(picture, (450, 450), 45, (180, 40, 20), -1)
    cv2.putText(picture, "SKIN", (412, 458), 0, 1, (255, 255, 255), 3)
    return picture


@pytest.mark.parametrize("dress", [captioned, with_ruler_and_logo])
def test_a_caption_a_ruler_or_a_logo_in_common_does_not_make_copies(dress):
    pictures = lesions("Melanocytic nevi", 12) + lesions("Melanoma", 12)
    images = np.stack([squashed(dress(picture)) for picture in pictures])
    assert find_near_duplicates(images).empty


def test_overlapping_crops_of_one_picture_are_found_without_the_picture():
    pictures = originals()
    upper = [squashed(jpeg(p[: len(p) * 4 // 5, : p.shape[1] * 4 // 5])) for p in pictures]
    lower = [squashed(jpeg(p[len(p) // 5 :, p.shape[1] // 5 :])) for p in pictures]
    pairs = find_near_duplicates(np.stack(upper + lower))
    expected = [[row, row + len(pictures)] for row in range(len(pictures))]
    assert pairs[["a", "b"]].to_numpy().tolist() == expected


def test_how_a_mirrored_descriptor_is_spelt_is_known_without_reckoning():
    rng = np.random.default_rng(0)
    shares = np.sqrt(rng.dirichlet(np.full(128, 0.3), 2000))
    descriptors = (shares * DESCRIPTOR_NORM).clip(0, 255).astype(np.uint8)
    words = train_vocabulary(descriptors, len(descriptors), rng)
    expected = words.combine_parts(*words.quantize(descriptors[:, MIRRORED]))
    known = words.combine_parts(*words.quantize(descriptors), mirrored=True)
    for there, here in zip(expected, known, strict=True):
        assert (there == here).mean() > 0.999  # but for what lies on a border


@pytest.mark.parametrize("n", [0, 1])
def test_next_to_no_images_have_no_copies(n):
    pairs = find_near_duplicates(np.zeros((n, SIZE, SIZE, 3), np.uint8))
    assert pairs.empty
    assert pairs.columns.tolist() == ["a", "b", "kind", "strength"]


def test_small_images_work_too():
    images = np.stack([squashed(picture) for picture in originals()])
    small = images.reshape(-1, 64, 4, 64, 4, 3).mean(axis=(2, 4)).astype(np.uint8)
    pairs = find_near_duplicates(np.concatenate([small, np.rot90(small, axes=(1, 2))]))
    assert (pairs["b"] - pairs["a"] == len(small)).sum() == len(small)


def test_the_result_is_the_same_each_time_and_with_any_number_of_threads(monkeypatch):
    pictures = originals()
    changed = [HARD["several at once"](picture) for picture in pictures]
    images = np.stack([squashed(picture) for picture in (*pictures, *changed)])
    expected = find_near_duplicates(images)
    monkeypatch.setattr("skin_lesions.core.parallel.usable_cpus", lambda: 1)
    with threadpool_limits(1):
        pd.testing.assert_frame_equal(find_near_duplicates(images), expected)


def pairs_of(*rows, kind="changed"):
    return pd.DataFrame(rows, columns=["a", "b", "strength"]).assign(kind=kind)


def chain(rows, strength):
    """Pairs by which these images become one group, one after the other."""
    return [(rows[0], row, strength) for row in rows[1:]]


def sizes(groups):
    return sorted(np.unique(groups, return_counts=True)[1].tolist())


@pytest.mark.parametrize("strength", [0.5, 0.99])
def test_one_wrong_pair_does_not_join_two_large_groups(strength):
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    assert max(sizes(merge_pairs(40, pairs_of(*large, (3, 33, strength))))) <= 21


@pytest.mark.parametrize(("wrong", "most"), [(30, 30), (300, 60)])
def test_random_wrong_pairs_make_no_chain_of_3000_images(wrong, most):
    rng = np.random.default_rng(0)
    true = [pair for row in range(0, 3000, 10) for pair in chain(range(row, row + 10), 0.9)]
    ends = [rng.choice(3000, 2, replace=False) for _ in range(wrong)]
    pairs = pairs_of(*true, *((min(end), max(end), rng.uniform(0.75, 0.99)) for end in ends))
    assert max(sizes(merge_pairs(3000, pairs))) <= most


def test_one_picture_that_is_like_many_does_not_join_two_large_groups():
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    hub = [(3, row, 0.6) for row in range(20, 40)]
    assert sizes(merge_pairs(40, pairs_of(*large, *hub))) == [20, 20]


def test_several_pairs_of_different_images_join_large_groups():
    large = chain(range(20), 0.9) + chain(range(20, 40), 0.9)
    assert sizes(merge_pairs(40, pairs_of(*large, (3, 33, 0.6), (4, 34, 0.6)))) == [40]


def test_a_weak_pair_joins_an_image_that_is_alone_but_not_two_pairs():
    assert sizes(merge_pairs(3, pairs_of((0, 1, 0.9), (1, 2, 0.5)))) == [3]
    two = [(0, 1, 0.9), (2, 3, 0.9)]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.5)))) == [2, 2]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.8)))) == [4]
    assert sizes(merge_pairs(4, pairs_of(*two, (1, 2, 0.5), (0, 3, 0.5)))) == [4]


def test_equal_pixels_always_join():
    known = [0] * 20 + [1] * 20
    pairs = pairs_of((3, 33, 1.0), kind="pixels")
    assert sizes(merge_pairs(40, pairs, known)) == [40]


def test_known_groups_stay_together_and_the_unknown_alone():
    known = ["x", "x", None, None, np.nan]
    assert merge_pairs(5, pairs_of(), known).tolist() == [0, 0, 2, 3, 4]
    assert merge_pairs(5, pairs_of((1, 3, 0.5)), known).tolist() == [0, 0, 2, 0, 4]


def test_groups_do_not_depend_on_the_order_of_the_pairs():
    rng = np.random.default_rng(0)
    rows = [(*sorted(rng.choice(60, 2, replace=False)), rng.uniform(0.4, 1)) for _ in range(90)]
    pairs = pairs_of(*rows)
    expected = merge_pairs(60, pairs)
    for seed in range(5):
        shuffled = pairs.sample(frac=1, random_state=seed)
        np.testing.assert_array_equal(merge_pairs(60, shuffled), expected)
